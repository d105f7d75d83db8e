"""Search: which port to try next, for a panel whose port is given or has to be found."""

from pathlib import Path

from firmware_bridge.candidates import ListCandidates

AUTO = "auto"
"""In place of a path: look for the panel at every serial port."""

NO_PORT = "there is no serial port for a panel here: plug the panel in"
PROBE_S = 2.5
"""How long one of several ports is asked; a board that its opening resets needs up to 2 s before it answers."""


class PortSearch:
    """Orders the ports to try: the one that answered last, then those that were not there before, then the others.

    `port` is a path or `AUTO`; the candidates are asked for with AUTO alone.
    """

    def __init__(self, port: str, candidates: ListCandidates) -> None:
        self._port = port
        self._candidates = candidates
        self._preferred: str | None = None
        self._known: set[str] = set()

    @property
    def automatic(self) -> bool:
        """Whether the port has to be found."""
        return self._port == AUTO

    def round(self) -> list[str]:
        """Return the paths to try, each once, the most promising first; they are known from now on."""
        paths = self._present()
        order = sorted(paths, key=lambda path: (path != self._preferred, path in self._known))
        self._known = set(paths)
        return order if self.automatic else [self._port]

    def newcomers(self) -> bool:
        """Whether a port is there that was not when the last round began; a port that has left is forgotten."""
        present = set(self._present())
        self._known &= present
        return bool(present - self._known)

    def prefer(self, path: str) -> None:
        """A panel answered at `path`: try it first from now on."""
        self._preferred = path

    def _present(self) -> list[str]:
        if self.automatic:
            return [candidate.path for candidate in self._candidates()]
        return [self._port] if Path(self._port).exists() else []
