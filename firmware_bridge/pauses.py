"""Pauses: how long to wait before a port is opened again."""

import secrets
from collections.abc import Callable

RETRY_S = 0.25
"""The first pause; each further one is twice as long."""
RETRY_MAX_S = 2.0
"""The longest pause, its jitter included."""
RETRY_JITTER = 0.25
"""A pause is lengthened by up to this share of itself."""

_random = secrets.SystemRandom()


class Pauses:
    """Pauses that grow twofold up to `RETRY_MAX_S`, with jitter; they never end. `draw` returns 0 to 1."""

    def __init__(self, first_s: float = RETRY_S, *, draw: Callable[[], float] = _random.random) -> None:
        self._first_s = min(first_s, RETRY_MAX_S / (1.0 + RETRY_JITTER))
        self._next_s = self._first_s
        self._draw = draw

    def next_s(self) -> float:
        """Return the pause to make now, in seconds, and grow."""
        pause_s = self._next_s * (1.0 + RETRY_JITTER * self._draw())
        self._next_s = min(2.0 * self._next_s, RETRY_MAX_S / (1.0 + RETRY_JITTER))
        return pause_s

    def reset(self) -> None:
        """Begin again with short pauses: there was a panel."""
        self._next_s = self._first_s
