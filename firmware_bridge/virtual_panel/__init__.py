"""Virtual panel: the panel's side of the protocol behind a pseudo-terminal, for tests, demonstrations and whoever
writes a firmware; run it with `python -m firmware_bridge.virtual_panel --link PATH`.
"""

from firmware_bridge.virtual_panel.cli import add_arguments, main, run
from firmware_bridge.virtual_panel.faults import Faults
from firmware_bridge.virtual_panel.history import ShownScene
from firmware_bridge.virtual_panel.panel import Happening, Plugged, VirtualPanel

__all__ = ["Faults", "Happening", "Plugged", "ShownScene", "VirtualPanel", "add_arguments", "main", "run"]
