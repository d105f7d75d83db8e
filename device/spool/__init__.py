"""The spool: every feedback from its commit until the gateway's receipt. `docs/spool.md` says what it promises."""

from device.spool.errors import SpoolError
from device.spool.rows import Entry, Outcome
from device.spool.store import Spool

__all__ = ["Entry", "Outcome", "Spool", "SpoolError"]
