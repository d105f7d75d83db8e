"""The buttons that are down, and those that have been down for longer than anybody holds them."""

from collections.abc import Collection

from firmware_bridge import Button

STUCK_S = 120.0
"""Longer than the longest recording."""


class Buttons:
    """Knows which buttons are down. `stuck` may be read from any thread."""

    def __init__(self, stuck_s: float = STUCK_S) -> None:
        """A button counts as stuck once it has been down for ``stuck_s`` seconds."""
        self._stuck_s = stuck_s
        self._down_s: dict[Button, float] = {}
        self.stuck: tuple[Button, ...] = ()

    def pressed(self, button: Button, now_s: float) -> None:
        """A button went down."""
        self._down_s.setdefault(button, now_s)

    def released(self, buttons: Collection[Button]) -> tuple[Button, ...]:
        """Buttons came up, or their panel vanished. Returns those that were stuck."""
        freed = tuple(button for button in buttons if button in self.stuck)
        for button in buttons:
            self._down_s.pop(button, None)
        self.stuck = tuple(button for button in self.stuck if button not in freed)
        return freed

    def newly_stuck(self, now_s: float) -> tuple[Button, ...]:
        """Return the buttons that count as stuck since the last question."""
        found = tuple(
            button
            for button, since_s in self._down_s.items()
            if button not in self.stuck and now_s - since_s >= self._stuck_s
        )
        self.stuck = (*self.stuck, *found)
        return found
