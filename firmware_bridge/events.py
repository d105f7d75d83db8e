"""Events: what the host's side of the link tells its user."""

from dataclasses import dataclass, field

from firmware_bridge.messages import Button, Identity


@dataclass(frozen=True, slots=True)
class PanelOnline:
    """A panel is there and gets the current scene.

    `identity.held` are buttons that were down already, whose releases will be told, and `identity.missed_presses`
    counts presses since the panel's start that no host saw; neither is ever replayed as an event.
    """

    identity: Identity


@dataclass(frozen=True, slots=True)
class PanelOffline:
    """There is no panel, and why: a sentence for a log or a health page.

    `held` are the buttons that were down: no `ButtonReleased` follows for them, so whoever times a hold ends it here.
    """

    reason: str
    held: frozenset[Button] = frozenset()


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """A button went down. `panel_ms` is the panel's uptime then, for measuring holds free of the line's delay."""

    button: Button
    panel_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ButtonReleased:
    """A button that was reported as pressed, or found down, went up; `panel_ms` as in `ButtonPressed`."""

    button: Button
    panel_ms: int = field(default=0, compare=False)


PanelEvent = PanelOnline | PanelOffline | ButtonPressed | ButtonReleased
