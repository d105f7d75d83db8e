"""`python -m audio.models.trial_process FOLDER`: loads a model, transcribes a sound, prints a `trial.Trial` as JSON."""

import codecs
import contextlib
import ctypes
import importlib.metadata
import math
import os
import resource
import signal
import sys
from array import array
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from audio.model import ModelError
from audio.models.trial import Trial
from audio.recogniser import Recogniser, RecogniserError, load

SOUND_S: Final = 2.0
NICE: Final = 10
_FIRST_TO_KILL: Final = b"1000"  # from proc(5), oom_score_adj
_PR_SET_PDEATHSIG: Final = 1  # from prctl(2)


def sound(rate_hz: int, length_s: float = SOUND_S) -> bytes:
    """A sound with syllables and a voice's overtones, in 16-bit samples: enough for every part of a model to work."""
    overtones = [(1, 0.5), (2, 0.3), (5, 0.4), (6, 0.3), (12, 0.2), (20, 0.1)]

    def sample(number: int) -> int:
        at_s = number / rate_hz
        envelope = max(0.0, math.sin(math.tau * 2 * at_s))
        phase = math.tau * 130 * at_s + 3 * math.sin(math.tau * 0.7 * at_s)
        return int(9000 * envelope * sum(part * math.sin(overtone * phase) for overtone, part in overtones))

    return array("h", map(sample, range(int(rate_hz * length_s)))).tobytes()


def memory_bytes(field: str) -> int:
    """A figure of this process's memory (proc(5), `/proc/self/status`): VmRSS is resident, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def try_model(folder: Path, version: str) -> Trial:
    """Load the model in this very process, and work with it. A damaged model may end the process.

    Vosk must be imported already: what the library itself takes is not the model's.
    """
    before_bytes, began_s = memory_bytes("VmRSS"), monotonic()
    try:
        loaded = load(folder)
        load_s = monotonic() - began_s
        recogniser = Recogniser(loaded, loaded.model.rate_hz)
        recogniser.accept(sound(loaded.model.rate_hz))
        recogniser.finish()
    except (ModelError, RecogniserError) as error:
        return Trial(load_s=monotonic() - began_s, memory_bytes=0, vosk=version, problem=str(error))
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
        return Trial(load_s=monotonic() - began_s, memory_bytes=0, vosk=version, problem=problem)
    grown_bytes = max(0, memory_bytes("VmHWM") - before_bytes)
    return Trial(load_s=round(load_s, 3), memory_bytes=grown_bytes, vosk=version)


def _be_modest() -> None:
    """Give way to the kiosk that may be working, in time and in memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_FIRST_TO_KILL)


def _become_owner(folder: Path) -> None:
    """Give root's rights up: what strangers made is parsed here. The state folder's owner is whom the kiosk runs as."""
    if os.geteuid() != 0:
        return
    for parent in folder.resolve().parents:
        status = parent.stat()
        if status.st_uid != 0:
            os.setgroups([])
            os.setgid(status.st_gid)
            os.setuid(status.st_uid)
            return


def _die_with_parent() -> None:
    # Not before the user is changed, which clears it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Try the model that the command line names, and end without waiting for native threads."""
    answer_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # native libraries print to standard output, too
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent to handle
    _be_modest()
    # What is not in memory yet, the owner may not be allowed to read.
    import vosk  # noqa: F401 - after standard output is safe

    codecs.lookup("ascii")
    version = importlib.metadata.version("vosk")
    _become_owner(folder)
    _die_with_parent()
    trial = try_model(folder, version)
    os.write(answer_fd, msgspec.json.encode(trial))
    os._exit(0)


if __name__ == "__main__":
    main()
