"""The gateway keeps the newest health of each kiosk, and feedback goes first."""

import json
import logging
import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import messages, topics
from contract.health import Health
from contract.topics import Channel
from gateway.kiosks import health_keeper
from gateway.kiosks.health_inbox import HealthArrival, HealthInbox
from gateway.kiosks.health_keeper import HealthKeeper
from gateway.kiosks.models import Kiosk, KioskHealth
from tests.contract.example_health import WELL, with_part
from tests.gateway.support import NOW, Shell, make_kiosk


def health(kiosk: str = "shop-1", **parts: dict[str, Any]) -> Health:
    made = msgspec.structs.replace(WELL, kiosk=kiosk)
    for name, changes in parts.items():
        made = with_part(made, name, **changes)
    return made


def arrival(message: Health | bytes, kiosk: str = "shop-1", after_s: float = 0.0) -> HealthArrival:
    payload = message if isinstance(message, bytes) else messages.encode(message)
    return HealthArrival(topics.topic(kiosk, Channel.HEALTH), payload, NOW + timedelta(seconds=after_s))


ILL = health(ear={"state": "failed", "problem": "no microphone"}, clock={"state": "degraded", "problem": "not set"})


class Keeper:
    def __init__(self) -> None:
        self.inbox = HealthInbox()
        self.keeper = HealthKeeper(self.inbox, every_s=0.0)

    def takes(self, *arrivals: HealthArrival) -> None:
        for one in arrivals:
            self.inbox.put(one)
        self.keeper.turn(threading.Event())


# ------------------------------------------------------------ the inbox


def test_of_each_kiosk_the_newest_is_kept() -> None:
    inbox = HealthInbox()
    newer = arrival(ILL, after_s=1)
    for one in (arrival(health()), arrival(health("shop-2"), "shop-2"), newer):
        inbox.put(one)
    newest, dropped = inbox.take()
    assert dropped == 0
    assert newest[newer.topic] is newer
    assert len(newest) == 2
    assert inbox.take() == ({}, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_an_inbox_never_holds_more_than_its_bytes(puts: list[tuple[int, int]]) -> None:
    inbox = HealthInbox(most_bytes=100)
    for kiosk, size in puts:
        inbox.put(HealthArrival(f"kiosk-{kiosk}", b"x" * size, NOW))
    newest, dropped = inbox.take()
    assert sum(len(one.payload) for one in newest.values()) <= 100
    assert dropped <= len(puts)
    inbox.put(HealthArrival("kiosk-9", b"x" * 100, NOW))
    assert len(inbox.take()[0]) == 1


# ------------------------------------------------------------ the database


@pytest.mark.usefixtures("shop")
class TestStored:
    def test_the_newest_health_is_stored_with_its_gravest_state(self) -> None:
        keeper = Keeper()
        keeper.takes(arrival(health()))
        row = KioskHealth.objects.get()
        assert (row.state, row.problems, row.received_at) == ("ok", 0, NOW)
        keeper.takes(arrival(ILL, after_s=60))
        row = KioskHealth.objects.get()
        assert (row.kiosk_id, row.state, row.problems) == ("shop-1", "failed", 2)
        assert row.received_at == NOW + timedelta(seconds=60)
        assert health_keeper.health_of(row) == ILL
        assert Kiosk.objects.get().last_seen_at == row.received_at

    def test_each_kiosk_has_its_own(self) -> None:
        make_kiosk("shop-2")
        Keeper().takes(arrival(ILL), arrival(health("shop-2"), "shop-2"))
        assert dict(KioskHealth.objects.values_list("pk", "state")) == {"shop-1": "failed", "shop-2": "ok"}

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (b"", "no JSON"),
            (b"\xff", "no UTF-8"),
            (b"{}", "missing required field"),
            (health("shop-2"), "names another kiosk"),
            (messages.encode(health()).replace(b'"ok"', b'"fine"'), "none of the allowed values"),
        ],
    )
    def test_what_cannot_be_read_is_counted_and_dropped(
        self, message: Health | bytes, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeper = Keeper()
        keeper.takes(arrival(health()))
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                keeper.takes(arrival(message))
        row = KioskHealth.objects.get()
        assert (row.state, row.unreadable) == ("ok", 3)
        assert reason in row.unreadable_reason
        assert len(caplog.records) == 1

    def test_what_cannot_be_read_comes_first_or_alone(self) -> None:
        Keeper().takes(arrival(b"rubbish"))
        row = KioskHealth.objects.get()
        assert (row.state, row.unreadable, row.report) == ("", 1, None)
        Keeper().takes(arrival(health()))
        row = KioskHealth.objects.get()
        assert (row.state, row.unreadable) == ("ok", 1)

    def test_a_kiosk_that_is_not_admitted_leaves_nothing(self) -> None:
        Kiosk.objects.update(removed_at=NOW, credential="")
        Keeper().takes(arrival(health()), arrival(health("stranger"), "stranger"), arrival(b"x", "other"))
        assert not KioskHealth.objects.exists()

    def test_rubbish_in_a_text_is_cleaned_before_it_is_stored(self) -> None:
        data = messages.encode(health(agent={"phase": "PHASE"})).replace(b"PHASE", rb"a\u0000b")
        Keeper().takes(arrival(data))
        read = health_keeper.health_of(KioskHealth.objects.get())
        assert read is not None
        assert read.agent.phase == "ab"

    def test_a_newer_kiosks_health_is_shown_as_far_as_it_is_known(self) -> None:
        tree = json.loads(messages.encode(ILL))
        tree["robot_arm"] = {"state": "failed"}
        tree["ear"]["of_next_year"] = 1
        Keeper().takes(arrival(json.dumps(tree).encode()))
        row = KioskHealth.objects.get()
        assert (row.state, row.unreadable) == ("failed", 0)
        assert health_keeper.health_of(row) == ILL

    def test_hundreds_of_kiosks_are_stored_in_a_few_statements_each(self, django_assert_max_num_queries: Any) -> None:
        kiosks = [f"k-{number}" for number in range(250)]
        Kiosk.objects.bulk_create(
            Kiosk(id=kiosk, credential="$7$", credential_changed_at=NOW, created_at=NOW) for kiosk in kiosks
        )
        with django_assert_max_num_queries(5 * (len(kiosks) // health_keeper.BATCH + 1)):
            Keeper().takes(*(arrival(health(kiosk), kiosk) for kiosk in kiosks))
        assert KioskHealth.objects.count() == 250


def test_more_than_can_be_kept_is_told_once(caplog: pytest.LogCaptureFixture, shop: Kiosk) -> None:
    keeper = Keeper()
    keeper.inbox = HealthInbox(most_bytes=10)
    keeper.keeper = HealthKeeper(keeper.inbox, every_s=0.0)
    with caplog.at_level(logging.WARNING):
        keeper.takes(arrival(health()))
        keeper.takes(arrival(health()))
    assert [record.getMessage() for record in caplog.records] == ["more health than can be kept: some is dropped"]


# ------------------------------------------------------------ the commands


@pytest.mark.django_db(transaction=True)
class TestShown:
    def test_the_list_shows_presence_and_health(self, shell: Shell) -> None:
        make_kiosk("shop-1")
        make_kiosk("shop-2")
        Kiosk.objects.filter(pk="shop-1").update(online=True, presence_changed_at=NOW)
        Keeper().takes(arrival(ILL))
        _, out, _ = shell("kiosk", "list")
        head, one, two = out.splitlines()
        assert head.split() == ["ID", "STATE", "SINCE", "LAST", "SEEN", "HEALTH", "PROBLEMS", "VERSION", "NAME"]
        assert one.startswith("shop-1  online   2026-03-01 12:00:00Z  2026-03-01 12:00:00Z  failed")
        assert "ago)" in one
        assert two.startswith("shop-2  offline  never                 never                 unknown")

    def test_one_kiosk_is_shown_with_each_part(self, shell: Shell) -> None:
        make_kiosk("shop-1")
        Keeper().takes(arrival(ILL))
        status, out, _ = shell("kiosk", "show", "shop-1")
        assert status == 0
        assert "!! ear" in out
        assert "no microphone" in out
        assert "2 parts need somebody" in out

    def test_a_kiosk_that_never_told_is_shown_too(self, shell: Shell) -> None:
        make_kiosk("shop-1")
        _, out, _ = shell("kiosk", "show", "shop-1")
        assert "unknown" in out
        Keeper().takes(arrival(b"rubbish"))
        assert "1 messages could not be read" in shell("kiosk", "show", "shop-1")[1]

    def test_for_machines_it_is_one_object(self, shell: Shell) -> None:
        make_kiosk("shop-1")
        Keeper().takes(arrival(ILL))
        (line,) = shell("kiosk", "show", "shop-1", "--json")[1].splitlines()
        fields = json.loads(line)
        assert (fields["id"], fields["state"], fields["problems"]) == ("shop-1", "failed", 2)
        assert msgspec.convert(fields["health"], Health) == ILL

    def test_a_stored_health_that_this_version_cannot_read_hides_only_itself(self, shell: Shell) -> None:
        make_kiosk("shop-1")
        Keeper().takes(arrival(ILL))
        KioskHealth.objects.update(report={"of": "an older time"})
        status, out, _ = shell("kiosk", "show", "shop-1")
        assert status == 0
        assert "failed" in out

    def test_an_unknown_kiosk_is_one_sentence(self, shell: Shell) -> None:
        assert "there is no kiosk 'nobody'" in shell.fails("kiosk", "show", "nobody")
