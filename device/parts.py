"""What the agent asks of the parts that it works with."""

from typing import Protocol

from firmware_bridge import Scene


class Ear(Protocol):
    """What the agent asks of the ear."""

    def begin(self, visit: str) -> None:
        """Begin a recording."""
        ...

    def finish(self, visit: str) -> None:
        """End it and transcribe."""
        ...

    def discard(self, visit: str) -> None:
        """Forget it."""
        ...

    def restart(self) -> None:
        """Replace the process."""
        ...

    def use_language(self, language: str) -> None:
        """Understand the next visits in another language."""
        ...


class Panel(Protocol):
    """What the agent asks of a button panel."""

    def show(self, scene: Scene) -> None:
        """Show a scene."""
        ...

    def level(self, value: int) -> None:
        """Show a level from 0 to 255."""
        ...
