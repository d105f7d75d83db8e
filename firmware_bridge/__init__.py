"""The button panel: what the kiosk and the panel say to each other over a serial line, and who says it.

`PanelBridge` keeps a panel in service and calls back with its events; `frame`, `messages` and `timing` are the protocol
of `docs/panel-protocol.md`, `link` and `panel_link` its two sides without any port or clock, and `virtual_panel` a
panel without hardware that speaks it. The folder knows nothing of visits: it shows scenes and reports buttons.
"""

from firmware_bridge.bridge import PanelBridge
from firmware_bridge.candidates import Candidate, list_candidates
from firmware_bridge.events import ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.messages import Button, Display, Identity, Scene
from firmware_bridge.search import AUTO
from firmware_bridge.stats import PanelStats

__all__ = [
    "AUTO",
    "Button",
    "ButtonPressed",
    "ButtonReleased",
    "Candidate",
    "Display",
    "Identity",
    "PanelBridge",
    "PanelEvent",
    "PanelOffline",
    "PanelOnline",
    "PanelStats",
    "Scene",
    "list_candidates",
]
