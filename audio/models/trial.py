"""Tries a model in a process of its own, which a damaged one may end or hang."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from audio.model import ModelError

DEADLINE_S: Final = 600.0
"""The largest models take minutes to load from an SD card."""
COMMAND: Final = (sys.executable, "-m", "audio.models.trial_process")
_MAX_ANSWER_CHARS: Final = 4096


class TrialError(ModelError):
    """A model that was loaded and cannot be used. One sentence."""


class Trial(Struct, frozen=True, kw_only=True):
    """How a model did."""

    load_s: Annotated[float, Meta(ge=0)]
    memory_bytes: Annotated[int, Meta(ge=0)]
    """By how much the process grew at most that loaded the model and transcribed a little with it."""
    vosk: Annotated[str, Meta(max_length=100)]
    """The version of Vosk."""
    problem: str | None = None
    """Why Vosk refused the model, in a sentence."""


def try_out(folder: Path, *, deadline_s: float = DEADLINE_S, command: Sequence[str] = COMMAND) -> Trial:
    """Load the model, and transcribe a generated sound with it. Raises `TrialError`."""
    try:
        done = subprocess.run(
            [*command, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrialError(
            f"the model {folder.name} was not loaded within {deadline_s:g} s: it is damaged, or too large here"
        ) from error
    except OSError as error:
        raise TrialError(f"the model {folder.name} cannot be tried: {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise TrialError(f"the model {folder.name} {_ending(done.returncode)}")
    try:
        trial = msgspec.json.decode(done.stdout[:_MAX_ANSWER_CHARS], type=Trial)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrialError(f"the model {folder.name} cannot be tried: {command[-1]} gave no answer") from error
    if trial.problem is not None:
        raise TrialError(trial.problem)
    return trial


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "needs more memory than this machine has: the process that loaded it was killed; use a smaller model"
    if status < 0:
        return f"is damaged: the recogniser died of it ({signal.Signals(-status).name})"
    return f"is damaged: the recogniser ended with status {status}"
