"""The spool does what a simple model does, whatever is done to it in whatever order, with reopenings in between."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from device.spool import Outcome, Spool, SpoolError
from device.spool.desk import Desk, NoSuchRecordError, NotRetriedError
from tests.device.records import a_record

NAMES = st.sampled_from([f"{letter}-record" for letter in "abcdef"])


@dataclass(frozen=True)
class Kept:
    """A record as the model has it."""

    state: str = "held"
    sequence: int | None = None
    message: bytes | None = None
    reason: str | None = None


class SpoolMachine(RuleBasedStateMachine):
    """Does the same to a spool and to a dictionary."""

    @initialize()
    def begin_empty(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.spool = Spool(self.folder / "spool.sqlite3")
        self.model: dict[str, Kept] = {}
        self.last = 0
        self.starts = 0

    def number(self) -> int:
        self.last += 1
        return self.last

    @rule(name=NAMES)
    def add(self, name: str) -> None:
        if name in self.model:
            with pytest.raises(SpoolError):
                self.spool.add(a_record(name))
        else:
            self.spool.add(a_record(name))
            self.model[name] = Kept()

    @rule(name=NAMES)
    def release(self, name: str) -> None:
        self.spool.release(name)
        if name in self.model and self.model[name].state == "held":
            self.model[name] = replace(self.model[name], state="waiting", sequence=self.number())

    @rule(name=NAMES)
    def take_back(self, name: str) -> None:
        self.spool.take_back(name)
        if name in self.model and self.model[name].state == "held":
            del self.model[name]

    @rule(messages=st.lists(st.tuples(NAMES, st.binary(min_size=1, max_size=6_000)), max_size=4))
    def freeze_all(self, messages: list[tuple[str, bytes]]) -> None:
        self.spool.freeze_all(messages)
        for name, message in messages:
            if name in self.model:
                kept = self.model[name]
                self.model[name] = replace(kept, message=kept.message or message)

    @rule(outcomes=st.lists(st.builds(Outcome, NAMES, st.booleans(), st.just("because")), max_size=5))
    def settle(self, outcomes: list[Outcome]) -> None:
        known = []
        for outcome in outcomes:
            kept = self.model.get(outcome.record_id)
            if kept is None or kept.state == "held" or (not outcome.stored and kept.state == "refused"):
                continue
            known.append(outcome)
            if outcome.stored:
                del self.model[outcome.record_id]
            else:
                self.model[outcome.record_id] = replace(kept, state="refused", reason=outcome.reason)
        assert self.spool.settle(outcomes) == known

    @rule(name=NAMES)
    def retry_from_another_process(self, name: str) -> None:
        with Desk(self.spool.path, to_change=True) as desk:
            try:
                desk.retry(desk.find(name))
            except NoSuchRecordError:
                assert name not in self.model
            except NotRetriedError:
                assert self.model[name].state != "refused"
            else:
                assert self.model[name].state == "refused"
                self.model[name] = Kept("waiting", self.number())

    @rule()
    def start_again(self) -> None:
        self.spool.close()
        self.spool = Spool(self.spool.path)
        began = self.spool.begin()
        assert began == self.starts + 1
        self.starts = began
        for name, kept in self.model.items():
            if kept.state == "held":
                self.model[name] = replace(kept, state="waiting", sequence=self.number())

    @rule()
    def open_again(self) -> None:
        self.spool.close()
        self.spool = Spool(self.spool.path)

    @invariant()
    def they_are_the_same(self) -> None:
        entries = self.spool.entries()
        found = {one.id: Kept(one.state, one.sequence, one.message, one.reason) for one in entries}
        assert found == self.model
        assert list(found) == list(self.model)
        assert all(one.record == a_record(one.id) for one in entries)
        queue = sorted((kept.sequence or 0, name) for name, kept in self.model.items() if kept.state == "waiting")
        assert [(one.sequence, one.id) for one in self.spool.waiting(limit=99)] == queue
        stats = self.spool.stats()
        states = [kept.state for kept in self.model.values()]
        assert (stats.held, stats.waiting, stats.refused) == tuple(map(states.count, ("held", "waiting", "refused")))
        assert stats.oldest_waiting == (queue[0][1] if queue else None)

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)


TestSpoolAgainstModel = SpoolMachine.TestCase
TestSpoolAgainstModel.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
