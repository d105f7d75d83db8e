"""What the agent asks of the kiosk's other parts, and what they tell it."""

from typing import Protocol

from audio.protocol import EarEvent
from device.event_feed import Value
from device.record import Record
from device.uplink import UplinkEvent
from firmware_bridge import PanelEvent, Scene

PartEvent = EarEvent | PanelEvent | UplinkEvent
"""What the ear, the panel and the uplink tell."""


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

    def answer(self) -> None:
        """Let it be seen and heard that a press was noticed which changes nothing."""
        ...

    def level(self, value: int) -> None:
        """Show a level from 0 to 255."""
        ...


class Outbox(Protocol):
    """What the agent asks of the spool. A change that fails raises `device.spool.SpoolError`."""

    def refusal(self) -> str | None:
        """Say why a record could not be kept now; None if it could."""
        ...

    def add(self, record: Record) -> None:
        """Commit a record, held back: on return it survives a power cut."""
        ...

    def release(self, record_id: str) -> None:
        """Let a held record go to the gateway."""
        ...

    def take_back(self, record_id: str) -> None:
        """Delete a held record."""
        ...


class Tell(Protocol):
    """Publishes what happens for programs on this machine, as `device.event_feed.EventFeed.publish` does."""

    def __call__(self, event: str, *, state: str | None = None, **fields: Value) -> None:
        """Tell of an event."""
        ...
