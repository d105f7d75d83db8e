"""Run the virtual panel from a shell."""

import sys

from firmware_bridge.virtual_panel.cli import main

sys.exit(main())
