"""One agent for each spool: a lock that the kernel frees when its process ends, however it ends."""

import fcntl
import os
from pathlib import Path


class AlreadyRunningError(RuntimeError):
    """Another agent works on the same folder."""


class InstanceLock:
    """Held from its making until `free`.

    Raises:
        AlreadyRunningError: another process holds it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise AlreadyRunningError(f"another kiosk agent already works on {folder}; stop it first") from None

    def free(self) -> None:
        """Let another agent begin."""
        os.close(self._descriptor)
