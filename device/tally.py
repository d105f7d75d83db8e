"""The tally of a kiosk's visits: counts what the machine of the visit has come to."""

from dataclasses import dataclass

from device.visit.events import Event, Pressed
from device.visit.states import Finishing, Notice, Phase, Recording, State, Thanks, Visit
from firmware_bridge import Button, Scene


@dataclass(slots=True)
class Tally:
    """Counters that only grow; `AgentStats` says what each means."""

    visits: int = 0
    thanked: int = 0
    taken_back: int = 0
    nothing_heard: int = 0
    failed: int = 0
    turned_away: int = 0

    def count(self, before: State, event: Event, after: State) -> None:
        """Count one step of the machine."""
        was, now = before.phase, after.phase
        if _visit(was) is not None and isinstance(now, Notice) and not isinstance(was, Notice):
            self.taken_back += now.scene is Scene.DISCARDED
            self.nothing_heard += now.scene is Scene.NOTHING_HEARD
            # After thanks only a refused next visitor is told *sorry*; this visit did not fail.
            self.failed += now.scene is Scene.SORRY and not isinstance(was, Thanks)
        if isinstance(was, Notice) and isinstance(now, Notice) and was.late is not None:
            self.taken_back += now.scene is Scene.DISCARDED
        self.thanked += isinstance(now, Thanks) and not isinstance(was, Thanks)
        self.visits += isinstance(now, Recording) and _visit(was) != now.visit
        if isinstance(event, Pressed) and event.button is Button.RECORD:
            self.turned_away += not isinstance(was, Recording | Finishing) and not isinstance(now, Recording)


def name_of(phase: Phase) -> str:
    """Return the name of a phase as health tells it: ``out_of_service``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(phase).__name__)[1:]


def _visit(phase: Phase) -> Visit | None:
    match phase:
        case Recording(visit=visit) | Finishing(visit=visit) | Thanks(visit=visit):
            return visit
        case Notice(late=late):
            return late
        case _:
            return None
