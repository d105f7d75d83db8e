"""The panel's buttons as they are held: which are down, since when, and which are stuck. Pure."""

from dataclasses import dataclass, replace

from firmware_bridge import Button


@dataclass(frozen=True, slots=True)
class Buttons:
    """The buttons that are down. A stuck one has been down for longer than anybody holds it, and is no more timed."""

    timed: tuple[tuple[Button, float], ...] = ()
    """Buttons that are down and not stuck, and when the time that counts for each began."""
    stuck: frozenset[Button] = frozenset()

    def down(self, button: Button, at_s: float) -> "Buttons":
        """Return the buttons after one went down, or was found down."""
        up = self.up(button)
        return replace(up, timed=(*up.timed, (button, at_s)))

    def up(self, button: Button) -> "Buttons":
        """Return the buttons after one came up."""
        return Buttons(tuple(timed for timed in self.timed if timed[0] is not button), self.stuck - {button})

    def timed_anew(self, button: Button, at_s: float) -> "Buttons":
        """Return the buttons where the time of one, if it is down, begins only now."""
        timed = tuple((other, at_s if other is button else since_s) for other, since_s in self.timed)
        return replace(self, timed=timed)

    def at(self, now_s: float, stuck_s: float, used: Button | None = None) -> "Buttons":
        """Return the buttons at a time; the one in use, which may be held for long, is not stuck."""
        stuck = {
            button for button, since_s in self.timed if button is not used and now_s >= since_s + stuck_s
        } | self.stuck
        return Buttons(tuple(timed for timed in self.timed if timed[0] not in stuck), frozenset(stuck))

    def due_s(self, stuck_s: float, used: Button | None = None) -> float | None:
        """Return when the next button is stuck if it stays down; None if none can be."""
        return min((since_s + stuck_s for button, since_s in self.timed if button is not used), default=None)
