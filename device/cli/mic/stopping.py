"""Ends a command between two blocks of sound, so that nothing is left half done."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """While it is open, Ctrl-C and its like do nothing but make the function that it gives return true."""
    asked = False

    def ask(_number: int, _frame: object) -> None:
        nonlocal asked
        asked = True

    earlier = {number: signal.signal(number, ask) for number in ENDING}
    try:
        yield lambda: asked
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
