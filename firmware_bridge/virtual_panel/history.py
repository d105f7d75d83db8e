"""History: the scenes that a virtual panel has shown, to be waited for."""

import threading
from dataclasses import dataclass

from firmware_bridge.messages import Scene


@dataclass(frozen=True, slots=True)
class ShownScene:
    """A scene and when it was shown first, in seconds of `time.monotonic`."""

    scene: Scene
    at_s: float


class SceneHistory:
    """All that was shown, oldest first; for any threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shown: list[ShownScene] = []

    def add(self, shown: ShownScene) -> None:
        """Another scene is shown."""
        with self._changed:
            self._shown.append(shown)
            self._changed.notify_all()

    def all(self) -> list[ShownScene]:
        """Return all that was shown."""
        with self._changed:
            return list(self._shown)

    def wait_for(self, scene: Scene, timeout_s: float, since: int | None) -> ShownScene:
        """Wait until `scene` is shown; see `VirtualPanel.wait_for_scene`."""
        with self._changed:
            first = max(0, len(self._shown) - 1) if since is None else since

            def found() -> ShownScene | None:
                return next((shown for shown in self._shown[first:] if shown.scene is scene), None)

            shown = self._changed.wait_for(found, timeout_s)
            if shown is None:
                seen = ", ".join(entry.scene.name.lower() for entry in self._shown[first:]) or "nothing"
                raise TimeoutError(f"the panel did not show {scene.name.lower()} within {timeout_s} s, but {seen}")
            return shown
