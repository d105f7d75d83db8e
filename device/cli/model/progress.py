"""Tells in the terminal how an installation goes on; without a terminal, in plain lines now and then."""

import textwrap
from collections import deque
from collections.abc import Callable
from typing import TextIO

from audio.models.files import readable

TERMINAL_EVERY_S = 0.2
PLAIN_EVERY_S = 10.0
RATE_OVER_S = 10.0


class Progress:
    """Implements `audio.models.report.Reporter`. Close it before other output."""

    def __init__(self, stream: TextIO, *, width: int, monotonic: Callable[[], float]) -> None:
        """Write to `stream`, in lines of at most `width` characters."""
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._every_s = TERMINAL_EVERY_S if self._is_terminal else PLAIN_EVERY_S
        self._width = width
        self._monotonic = monotonic
        self._seen: deque[tuple[float, int]] = deque()
        self._shown_s: float | None = None
        self._line = ""

    def step(self, text: str) -> None:
        """Tell what begins."""
        self.close()
        self._seen.clear()
        self._shown_s = None
        print(textwrap.fill(text, self._width, subsequent_indent="  ", break_long_words=False), file=self._stream)
        self._stream.flush()

    def progress(self, done_bytes: int, total_bytes: int | None) -> None:
        """Show bytes, rate and the time left, if it is time to."""
        now_s = self._monotonic()
        if self._seen and done_bytes < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now_s, done_bytes))
        while now_s - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        if self._shown_s is None:
            self._shown_s = now_s
        if now_s - self._shown_s >= self._every_s or (self._line and done_bytes == total_bytes):
            self._shown_s = now_s
            self._show(self._text(done_bytes, total_bytes))

    def close(self) -> None:
        """End the line that is being written over."""
        if self._line:
            print(file=self._stream, flush=True)
        self._line = ""

    def _show(self, text: str) -> None:
        if self._is_terminal:
            shown = f"  {text}"[: self._width - 1]
            self._stream.write("\r" + shown.ljust(len(self._line)))
            self._line = shown
        else:
            self._stream.write(f"  {text}\n")
        self._stream.flush()

    def _text(self, done_bytes: int, total_bytes: int | None) -> str:
        since_s, since_bytes = self._seen[0]
        span_s = self._seen[-1][0] - since_s
        rate = (done_bytes - since_bytes) / span_s if span_s > 0 else 0.0
        parts = [readable(done_bytes)]
        if total_bytes:
            parts = [f"{readable(done_bytes)} of {readable(total_bytes)}", f"{100 * done_bytes // total_bytes:3d} %"]
        if rate > 0:
            parts.append(f"{readable(rate)}/s")
            if total_bytes and done_bytes < total_bytes:
                parts.append(f"{_time((total_bytes - done_bytes) / rate)} left")
        return "  ".join(parts)


def _time(length_s: float) -> str:
    minutes, seconds = divmod(round(length_s), 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02d}"
    return f"{minutes // 60} h {minutes % 60:02d} min"
