"""Who is told how an installation goes on."""

from typing import Protocol


class Reporter(Protocol):
    """Tells a person."""

    def step(self, text: str) -> None:
        """Something begins that takes its time, or happened that is worth a line."""
        ...

    def progress(self, done_bytes: int, total_bytes: int | None) -> None:
        """So much of the step is done. Called often."""
        ...


class Silent:
    """Tells nobody."""

    def step(self, text: str) -> None:
        """Tell nobody."""

    def progress(self, done_bytes: int, total_bytes: int | None) -> None:
        """Tell nobody."""
