"""The way of one feedback as a visitor, a technician and a backend developer would tell it, with times."""

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from demo.happenings import Happening, Happenings

_COLUMN = 9


_TELL: dict[tuple[str, str], Callable[[Mapping[str, Any]], str]] = {
    ("kiosk", "pressed"): lambda of: f"the {of['button']} button is pressed",
    ("panel", "scene"): lambda of: f"the panel shows: {of['scene']}",
    ("kiosk", "first_sound"): lambda _: "the first sound of speech",
    ("kiosk", "partial"): lambda of: f"recognised so far: {of['text']}",
    ("kiosk", "heard"): lambda of: f"recognised: {of['text']}  (the last words took {of['finalise_ms']:.0f} ms)",
    ("kiosk", "committed"): lambda of: f"durable in the spool ({of['ms']:.1f} ms)",
    ("kiosk", "receipt"): lambda of: (
        "the gateway's receipt: " + ("stored" if of["stored"] else f"refused, {of['reason']}")
    ),
    ("kiosk", "taken_back"): lambda _: "taken back by the visitor: deleted",
    ("kiosk", "offline"): lambda of: f"the kiosk is offline: {of['reason']}",
    ("kiosk", "ear_lost"): lambda of: f"the kiosk cannot hear: {of['reason']}",
    ("gateway", "feedback stored"): lambda _: "the gateway has stored the feedback",
    ("gateway", "feedback analysed"): lambda _: "the gateway has analysed it",
    ("gateway", "webhook delivered"): lambda of: f"webhook {of['event']} delivered, answered {of['status']}",
    ("gateway", "webhook attempt failed"): lambda of: f"webhook attempt failed: {of['reason']}",
    ("receiver", "webhook"): lambda of: (
        f"the backend received {of['event']}: " + ("verified" if of["verified"] else f"NOT verified, {of['reason']}")
    ),
}


def describe(one: Happening) -> str | None:
    """Return one line for a happening that belongs on the timeline, or None."""
    tell = _TELL.get((one.source, one.name))
    return tell(one.fields) if tell else None


class Timeline:
    """Prints happenings as they come, with seconds since the press that began the visit."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._zero: float | None = None
        self._recording = False

    def __call__(self, one: Happening) -> None:
        """Print ``one`` if it belongs on the timeline."""
        text = describe(one)
        with self._lock:
            if (one.source, one.name) == ("kiosk", "scene"):
                self._recording = one.fields["scene"] == "recording"
            pressed = (one.source, one.name, one.fields.get("button")) == ("kiosk", "pressed", "record")
            if pressed and not self._recording:
                self._zero = one.at
            if text is not None and self._zero is not None:
                self._write(f"{one.at - self._zero:+{_COLUMN}.3f} s  {one.source:<8}  {text}")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the way, in seconds."""

    name: str
    seconds: float


def where_the_time_went(happenings: Happenings, visit: str, since: int) -> list[Span]:
    """Return the parts of the way of one feedback, in order."""

    def at(source: str, name: str, **fields: str) -> float:
        return happenings.find(source, name, since=since, **fields)[0].at

    marks = [
        ("", at("kiosk", "pressed", button="record")),
        ("from the press to the recording light", at("panel", "scene", scene="recording")),
        ("until the first sound of speech", at("kiosk", "first_sound", visit=visit)),
        ("speaking, and the pause that ends it", at("kiosk", "scene", scene="finishing", visit=visit)),
        ("last words of the recogniser", at("kiosk", "heard", visit=visit)),
        ("commit to the spool", at("kiosk", "committed", visit=visit)),
        ("from durable to the thanks on the panel", at("panel", "scene", scene="thanks")),
        ("time in which the visitor may take it back", at("kiosk", "scene", scene="idle")),
        ("over MQTT into the gateway's store", at("gateway", "feedback stored", feedback=visit)),
        ("analysis", at("gateway", "feedback analysed", feedback=visit)),
        ("webhook received and verified", at("receiver", "webhook", feedback=visit)),
    ]
    return [Span(name, then - before) for (_, before), (name, then) in itertools.pairwise(marks)]
