"""How the visits went: counters that only grow while the agent runs."""

from dataclasses import dataclass

from device.visit.effects import TURNED_AWAY, Decline
from device.visit.states import Finishing, Notice, Phase, Recording, Thanks
from firmware_bridge import Button, Scene


@dataclass(slots=True)
class Tally:
    """Counts by what the visit's machine does; the names are those of `device.stats.AgentStats`."""

    visits: int = 0
    thanked: int = 0
    taken_back: int = 0
    nothing_heard: int = 0
    failed: int = 0
    turned_away: int = 0
    thanks_s: float | None = None
    """When there were thanks last."""

    def moved(self, before: Phase, after: Phase, now_s: float) -> None:
        """Count a change of phase."""
        match after:
            case Recording(visit=visit) if not (isinstance(before, Recording) and before.visit == visit):
                self.visits += 1
            case Thanks() if not isinstance(before, Thanks):
                self.thanked += 1
                self.thanks_s = now_s
            case Notice(scene=scene) if after is not before:
                self.taken_back += scene is Scene.DISCARDED
                self.nothing_heard += scene is Scene.NOTHING_HEARD
                self.failed += scene is Scene.SORRY and isinstance(before, Recording | Finishing)

    def declined(self, declined: Decline) -> None:
        """Count a press that did nothing."""
        self.turned_away += declined.button is Button.RECORD and declined.why in TURNED_AWAY
