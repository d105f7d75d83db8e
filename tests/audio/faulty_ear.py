"""The ear with faults on demand, as native code has them: `python faulty_ear.py FOLDER`, FOLDER being that of `Faults`.

A fault is a file `KIND-PLACE` in the folder with the number of times that it is still to happen. Kinds: `abort`,
`stick` (the thread waits for ever), `spin` (it computes for ever and no other Python thread runs), `slow` (0.3 s).
Places: `accept` and `finish` of a recogniser, `job` (after any of its jobs), `load` of the model whose folder's name
follows (`abort-load-de`).
"""

import contextlib
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

KINDS = ("abort", "stick", "spin", "slow")


class Faults:
    """Arms faults for ears that are started with `command`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.command = (sys.executable, "-P", __file__, str(folder))

    def arm(self, kind: str, place: str, times: int = 1) -> None:
        """From now on it happens."""
        partial = self._folder / "partial"
        partial.write_text(str(times))
        partial.rename(self._folder / f"{kind}-{place}")

    def left(self, kind: str, place: str) -> int:
        """How often it is still to happen."""
        with contextlib.suppress(FileNotFoundError):
            return int((self._folder / f"{kind}-{place}").read_text())
        return 0

    def meet(self, place: str) -> None:
        """Called in the ear: suffer what is armed for a place."""
        for kind in KINDS:
            left = self.left(kind, place)
            if left:
                self.arm(kind, place, left - 1)
                _suffer(kind)


def _suffer(kind: str) -> None:
    if kind == "abort":
        os.abort()
    elif kind == "stick":
        threading.Event().wait()
    elif kind == "spin":
        re.match(r"(a+)+$", "a" * 60 + "b")  # one call into C that does not end
    else:
        time.sleep(0.3)


def main() -> None:
    """Be the ear, with the faults of the folder in the first argument."""
    from audio import recogniser, worker
    from audio.__main__ import main as be_ear

    faults = Faults(Path(sys.argv[1]))

    def with_faults(cls: Any, name: str, place: Any) -> None:
        original = getattr(cls, name)

        def method(self: Any, *arguments: Any) -> Any:
            faults.meet(place(*arguments))
            return original(self, *arguments)

        setattr(cls, name, method)

    with_faults(recogniser.Recogniser, "accept", lambda _samples: "accept")
    with_faults(recogniser.Recogniser, "finish", lambda: "finish")
    with_faults(recogniser.LoadedModel, "__init__", lambda model: f"load-{model.name}")
    original = worker.RecogniserWorker._work

    def work(self: worker.RecogniserWorker, job: Any) -> None:
        original(self, job)
        faults.meet("job")

    worker.RecogniserWorker._work = work  # type: ignore[method-assign]
    be_ear()


if __name__ == "__main__":
    main()
