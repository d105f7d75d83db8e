"""Virtual panel: the panel's side of the protocol behind a pseudo-terminal, for tests, demonstrations and whoever
writes a firmware; run it with `python -m firmware_bridge.virtual_panel --link PATH`.
"""

from firmware_bridge.virtual_panel.cli import add_arguments, main, run
from firmware_bridge.virtual_panel.panel import Happening, Plugged, ShownScene, VirtualPanel

__all__ = ["Happening", "Plugged", "ShownScene", "VirtualPanel", "add_arguments", "main", "run"]
