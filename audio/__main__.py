"""`python -m audio`: the ear as a child process; see `audio.protocol` for what it reads and writes."""

import ctypes
import logging
import os
import resource
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # from prctl(2)


def _die_with_parent() -> None:
    # The end of standard input says the same, but a process whose threads hang does not read it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        logging.getLogger(__name__).warning("prctl failed: %s", os.strerror(ctypes.get_errno()))


def _private_stdout() -> int:
    """Keep standard output for events, and point what native libraries print there to standard error."""
    events_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events_fd


def main() -> None:
    """Be the ear, and end without waiting for native threads, which may hang."""
    _die_with_parent()
    events_fd = _private_stdout()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would put a visitor's voice on the disk
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent to handle
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    status = 1
    try:
        from audio.ear import serve  # after the descriptors are safe: native libraries may print when loaded

        status = serve(sys.stdin.buffer, events_fd)
    except Exception:
        logging.getLogger(__name__).exception("the ear ended by a mistake of its own")
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
