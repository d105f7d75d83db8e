"""The time of visits on its whole way: from a boot without time over a real broker to the gateway."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from audio import protocol as ear_events
from benchmarks.private_broker import KIOSK_ID, PrivateBroker, ReceiptingGateway
from device import timekeeper
from device.agent import Agent
from device.connection import Connection, ConnectionHandler
from device.event_feed import EventFeed
from device.spool import Spool
from device.timekeeper import PATIENCE_S
from device.uplink import Uplink
from device.visit.limits import Limits
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Scene
from tests.device.clocks import TODAY_S, SetClock
from tests.device.records import a_record, a_transcript
from tests.device.test_agent import DEADLINE_S, Parts
from tests.gateway.support import wait_until

YEAR_S = 365 * 86_400.0

pytestmark = [pytest.mark.servers]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timekeeper, "LOOK_S", 0.02)
    monkeypatch.setattr(timekeeper, "SELDOM_S", 0.02)


class Kiosk:
    def __init__(self, folder: Path, clock: SetClock, broker: PrivateBroker) -> None:
        self.clock = clock
        self.spool = Spool(folder / "spool.sqlite3")
        self.credentials = broker.credentials()
        self.uplink = Uplink(
            self.spool,
            clock,
            kiosk=KIOSK_ID,
            make_link=self.make_link,
            on_event=lambda event: None,
            start_number=self.spool.begin(),
        )

    def make_link(self, session: int, on_event: ConnectionHandler) -> Connection:
        return Connection(self.credentials, session=session, agent_version="0", on_event=on_event)

    def visit(self, number: int) -> str:
        name = f"00000000-0000-4000-8000-{number:012d}"
        self.spool.add(structs.replace(a_record(name), pressed=self.clock.now()))
        self.spool.release(name)
        self.uplink.wake()
        return name

    def goes_online(self) -> None:
        self.uplink.start()
        wait_until(lambda: self.uplink.stats().online)

    def __enter__(self) -> "Kiosk":
        return self

    def __exit__(self, *_: object) -> None:
        self.uplink.stop()
        self.spool.close()


def told(gateway: ReceiptingGateway) -> list[tuple[str, float, str]]:
    return [(one.id, one.created_at.timestamp(), one.clock) for one in gateway.came]


def no_time() -> SetClock:
    return SetClock(since_boot_s=20.0, wall_s=20.0, synchronised=False)


def test_three_visits_before_the_clock_is_set_are_told_with_their_right_times(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    clock = no_time()
    with Kiosk(tmp_path, clock, broker) as kiosk:
        kiosk.goes_online()
        names = []
        for number in range(3):
            names.append(kiosk.visit(number))
            clock.pass_time(60)
        wait_until(lambda: kiosk.uplink._timekeeper.now.since_boot_s == clock.since_boot_s)
        assert gateway.came == []
        clock.is_set(TODAY_S)
        names.append(kiosk.visit(3))
        gateway.wait_for(lambda: len(gateway.came) == 4)
        assert told(gateway) == [
            (name, TODAY_S - 180 + 60 * number, "synchronised") for number, name in enumerate(names)
        ]


def test_a_kiosk_without_a_time_server_waits_once_and_then_delays_no_record(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    clock = no_time()
    with Kiosk(tmp_path, clock, broker) as kiosk:
        kiosk.goes_online()
        first = kiosk.visit(1)
        clock.pass_time(PATIENCE_S - 1)
        wait_until(lambda: kiosk.uplink._timekeeper.now.since_boot_s == clock.since_boot_s)
        assert gateway.came == []
        clock.pass_time(2)
        gateway.wait_for(lambda: len(gateway.came) == 1)
        second = kiosk.visit(2)
        gateway.wait_for(lambda: len(gateway.came) == 2)
        assert told(gateway) == [
            (first, 20.0, "unsynchronised"),
            (second, 20.0 + PATIENCE_S + 1, "unsynchronised"),
        ]


def test_visits_of_a_boot_whose_clock_was_set_later_are_right_after_the_next_boot(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    clock = no_time()
    with Kiosk(tmp_path, clock, broker) as kiosk:
        # A network with a time server and without the gateway.
        kiosk.credentials = structs.replace(broker.credentials(), port=1)
        kiosk.uplink.start()
        first = kiosk.visit(1)
        clock.pass_time(100)
        clock.is_set(TODAY_S)
        wait_until(lambda: kiosk.spool.boots())
    clock.reboot("the next boot")
    with Kiosk(tmp_path, clock, broker) as kiosk:
        second = kiosk.visit(2)
        kiosk.goes_online()
        gateway.wait_for(lambda: len(gateway.came) == 1)
        assert told(gateway) == [(first, TODAY_S - 100, "synchronised")]
        clock.pass_time(30)
        clock.is_set(TODAY_S + 500)
        gateway.wait_for(lambda: len(gateway.came) == 2)
        assert told(gateway)[1] == (second, TODAY_S + 500 - 30, "synchronised")


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_a_jump_of_a_year_in_the_middle_of_a_visit_makes_one_visit_of_the_right_length_and_time(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway, jump_s: float
) -> None:
    # The clock is wrong by a year before the jump, and right after it.
    clock = SetClock(since_boot_s=50.0, wall_s=TODAY_S - jump_s, synchronised=False)
    with Kiosk(tmp_path, clock, broker) as kiosk:
        kiosk.goes_online()
        parts = Parts()
        agent = Agent(
            spool=kiosk.spool,
            feed=EventFeed(tmp_path / "run"),
            clock=clock,
            limits=Limits(thanks_s=0.2, notice_s=0.2, interrupted_max_s=0.3),
            agent_version="test",
            consent_version=None,
        )
        thread = threading.Thread(target=agent.run, args=(parts, parts, kiosk.uplink.wake))
        thread.start()
        try:
            agent.post(
                ear_events.Ready(
                    device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=True, language="en"
                )
            )
            parts.wait_for("show", Scene.IDLE)
            agent.post(ButtonPressed(Button.RECORD))
            agent.post(ButtonReleased(Button.RECORD))
            visit = str(parts.wait_for("begin")[1])
            clock.pass_time(3)
            clock.is_set(TODAY_S + 3)
            agent.post(ear_events.SpeechEnded(visit=visit))
            parts.wait_for("finish", visit)
            agent.post(a_transcript(visit, audio_s=3.0, speech_s=2.0))
            parts.wait_for("show", Scene.THANKS)
            gateway.wait_for(lambda: bool(gateway.came))
        finally:
            agent.stop()
            thread.join(DEADLINE_S)
        wait_until(lambda: not kiosk.spool.depth())
        assert [asked[0] for asked in parts.asked].count("begin") == 1
        (feedback,) = gateway.came
        assert (feedback.id, feedback.audio_s, feedback.speech_s) == (visit, 3.0, 2.0)
        assert (feedback.created_at, feedback.clock) == (datetime.fromtimestamp(TODAY_S, UTC), "synchronised")


def test_a_clock_that_jumps_while_the_kiosk_is_online_neither_ends_the_connection_nor_sends_anything_twice(
    tmp_path: Path, broker: PrivateBroker, gateway: ReceiptingGateway
) -> None:
    clock = SetClock()
    with Kiosk(tmp_path, clock, broker) as kiosk:
        kiosk.goes_online()
        for number, jump_s in enumerate((0.0, YEAR_S, -2 * YEAR_S)):
            clock.wall_s += jump_s
            kiosk.visit(number)
            gateway.wait_for(lambda number=number: len(gateway.came) == number + 1)  # type: ignore[misc]
        wait_until(lambda: not kiosk.spool.depth())
        assert kiosk.uplink.stats().connections == 1
        assert len(gateway.came) == 3
