"""The lives of a fast kiosk: started, watched, ended by a crash."""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.process import Process
from tests.faults.ledger import Report

ROOT = Path(__file__).parents[2]
START_S = 30.0


class FastKiosk:
    """One process of `tests.faults.fast_kiosk`, and what it has reported. As a context it is killed at the end."""

    def __init__(
        self, folder: Path, spool: Path, *options: str | Path, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._changed = threading.Condition()
        self._reports: list[Report] = []
        self._process = Process(
            [sys.executable, "-m", "tests.faults.fast_kiosk", "--folder", spool, "--run", folder / "run", *options],
            log=folder / "log",
            on_line=self._line,
            environment=environment,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def reports(self) -> list[Report]:
        """Everything that it has told until now."""
        with self._changed:
            return list(self._reports)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.alive

    def find(self, what: str, *, since: int = 0, **fields: Any) -> list[Report]:
        """Return the reports of one kind after the first ``since`` ones."""
        return [report for report in self.reports[since:] if _matches(report, what, fields)]

    def wait_for(self, what: str, *, since: int = 0, timeout_s: float = START_S, **fields: Any) -> Report:
        """Wait for a report after the first ``since`` ones, and return it."""
        self.wait_until(lambda: bool(self.find(what, since=since, **fields)), f"{what} {fields}", timeout_s)
        return self.find(what, since=since, **fields)[0]

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Wait until what it has told fulfils ``condition``."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                assert self.alive, f"the kiosk ended: {self.last_words()}"
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"no {what} within {timeout_s} s; last: {self._reports[-5:]}"
                self._changed.wait(min(left_s, 1.0))

    def visit(self, how: str = "", *, timeout_s: float = START_S) -> str:
        """Let a visitor come, and return the scene with which it ended: ``thanks``, ``sorry`` or another."""
        mark = len(self.reports)
        self._process.write(f"visit {how}".strip())
        ends = {"thanks", "sorry", "nothing_heard"} if how != "take_back" else {"discarded", "sorry"}
        found: list[Report] = []

        def ended() -> bool:
            found[:] = [one for one in self.find("scene", since=mark) if one["scene"] in ends]
            return bool(found)

        self.wait_until(ended, f"end of the visit ({ends})", timeout_s)
        return str(found[0]["scene"])

    def cancel(self) -> None:
        """Let the visitor press *cancel*."""
        self._process.write("cancel")

    def opens(self) -> bool:
        """Wait until it has opened its spool; tell whether it could."""
        deadline_s = time.monotonic() + START_S
        while self.alive and not self.find("opened"):
            assert time.monotonic() < deadline_s, self.last_words()
            time.sleep(0.01)
        return bool(self.find("opened"))

    def stop(self) -> None:
        """Let it end in order."""
        self._process.write("stop")
        deadline_s = time.monotonic() + START_S
        while self.alive:
            assert time.monotonic() < deadline_s, self.last_words()
            time.sleep(0.01)
        self._process.stop()

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._process.last_words(20)

    def _line(self, line: str) -> None:
        with self._changed:
            self._reports.append(json.loads(line))
            self._changed.notify_all()


def _matches(report: Report, what: str, fields: Mapping[str, Any]) -> bool:
    return report["what"] == what and all(report.get(key) == value for key, value in fields.items())
