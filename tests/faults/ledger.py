"""What a kiosk owes after a crash, by what it had told before: pure, from the reports of `fast_kiosk`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Report = Mapping[str, Any]


@dataclass
class Ledger:
    """Follows a kiosk over many lives, each of which ends with a crash."""

    thanked: int = 0
    """Visitors who were thanked, before the crashes."""
    lost: int = 0
    """Feedback of these that was gone without a reason."""
    _owed: set[str] = field(default_factory=set)
    """Thanked for: must be there."""
    _excused: set[str] = field(default_factory=set)
    """Of these: may be gone, because a receipt or a *cancel* is under way."""
    promised: set[str] = field(default_factory=set)
    """Everything that was ever thanked for, and of which no visitor began to take it back."""
    taken_back: set[str] = field(default_factory=set)
    """The visitor was told that it is deleted: must never be seen again."""
    _cancelling: str | None = None
    _sent: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Sequence number and bytes with which a record was sent."""
    _numbers: dict[int, str] = field(default_factory=dict)

    def tell(self, reports: Iterable[Report], until_ns: int | None = None) -> list[str]:
        """Take what was told in one life; until ``until_ns``, if the power was cut then. Return what is wrong."""
        wrong: list[str] = []
        for report in reports:
            if report["what"] == "opened":
                # It tells what the crash before this life has left, whenever this life ended.
                wrong += self._compare(report)
            elif until_ns is None or report["at_ns"] <= until_ns:
                wrong += self._take(report)
        return wrong

    def settled(self) -> set[str]:
        """Return what is owed for certain."""
        return self._owed - self._excused

    def _take(self, report: Report) -> list[str]:
        visit = report.get("visit", "")
        match report:
            case {"what": "scene", "scene": "thanks"}:
                self.thanked += 1
                self._owed.add(visit)
                self.promised.add(visit)
            case {"what": "cancelled"}:
                self._cancelling = visit
                self._excused.add(visit)
                self.promised.discard(visit)
            case {"what": "scene", "scene": "discarded"}:
                if visit == self._cancelling:
                    self._owed.discard(visit)
                    self.taken_back.add(visit)
            case {"what": "receipt", "stored": True}:
                self._excused.add(visit)
            case {"what": "sent", "sequence": sequence, "message": message}:
                before = self._sent.setdefault(visit, (sequence, message))
                wrong = [] if before == (sequence, message) else [f"{visit} was sent again with other bytes"]
                return [*wrong, *self._number(sequence, visit)]
        return []

    def _compare(self, opened: Report) -> list[str]:
        entries = {entry["visit"]: entry for entry in opened["entries"]}
        wrong = [] if opened["integrity"] == "ok" else [f"the database is damaged: {opened['integrity']}"]
        missing = sorted(self.settled() - entries.keys())
        self.lost += len(missing)
        wrong += [f"{visit} was thanked for and is gone" for visit in missing]
        for visit, entry in entries.items():
            wrong += self._look_at(visit, entry)
        # What is there now has survived, and stays until there is a new reason.
        self._owed, self._excused = set(entries), set()
        return wrong

    def _look_at(self, visit: str, entry: Report) -> list[str]:
        wrong = []
        if not entry["readable"]:
            wrong.append(f"{visit} cannot be read")
        if visit in self.taken_back:
            wrong.append(f"{visit} was taken back and is there again")
        if visit in self._sent and self._sent[visit] != (entry["sequence"], entry["message"]):
            wrong.append(f"{visit} is not kept as it was sent")
        if entry["sequence"] is not None:
            wrong += self._number(entry["sequence"], visit)
        return wrong

    def _number(self, sequence: int, visit: str) -> list[str]:
        owner = self._numbers.setdefault(sequence, visit)
        return [] if owner == visit else [f"number {sequence} stands for {owner} and for {visit}"]
