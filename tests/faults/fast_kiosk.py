"""A kiosk whose visits take milliseconds: `python -m tests.faults.fast_kiosk --folder DIR`.

Agent, machine of the visit, spool, event feed and uplink are the product's own. Ear and panel are drivers in this
process that say and press what a visitor would, as fast as the agent takes it. What happens is written to the standard
output, one JSON object a line, each before it can have an effect that a power cut could lose; ``at_ns`` is the
monotonic clock's. Commands come as lines on the standard input:

    visit             one visit, to its thanks or to what comes instead
    visit take_back   one visit, and *cancel* during the thanks
    cancel            *cancel* now, for the visit before
    stop              the end

Without ``--by-hand`` visitors come by themselves, one after the other. With it, and with ``--silent``, the gateway in
this process sends no receipt.

`VOISEBACK_TEST_SYNCHRONOUS` set to ``OFF`` or ``NORMAL`` weakens the database's commits, to show that a test sees it.
"""

import argparse
import functools
import hashlib
import heapq
import json
import logging
import os
import queue
import random
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import structs
from paho.mqtt.client import MQTTMessageInfo

from audio import protocol as ear_events
from contract import credentials as broker_credentials
from contract import messages
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt
from contract.topics import Channel
from device import connection
from device.agent import Agent
from device.backoff import Backoff
from device.clock import Stamp, SystemClock
from device.connection import Connection, ConnectionEvent, ConnectionHandler, Received, Up
from device.event_feed import EventFeed
from device.spool import Spool
from device.uplink import Link, Offline, Online, Settled, Uplink, UplinkEvent
from device.visit.limits import Limits
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Scene

SYNCHRONOUS = os.environ.get("VOISEBACK_TEST_SYNCHRONOUS", "FULL")
LIMITS = Limits(thanks_s=0.02, notice_s=0.02)
NOTICE_S = 0.05
IMPATIENCE_S = 0.25
"""A visitor whose press is not taken presses again."""
KIOSK_ID = "fast"


def words_of(visit: str) -> str:
    """Return what the visitor of this visit says."""
    return f"the words of {visit}"


def report(what: str, **fields: Any) -> None:
    """Tell the test. One write, so that a killed process leaves no half line unless the pipe is full."""
    line = json.dumps({"what": what, "at_ns": time.monotonic_ns(), **fields})
    os.write(1, line.encode() + b"\n")


class Visitors:
    """The ear and the panel, and those who stand before them. `run` is their thread."""

    def __init__(self, chance: random.Random, *, by_hand: bool) -> None:
        self._chance = chance
        self._by_hand = by_hand
        self._seen: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._scene = Scene.OUT_OF_SERVICE
        self._visit = ""
        self._wishes: list[str] = []
        self.post: Callable[[Any], None] = lambda _event: None

    # What the agent asks of the ear.

    def begin(self, visit: str) -> None:
        self._seen.put(("begin", visit))

    def finish(self, visit: str) -> None:
        self._seen.put(("finish", visit))

    def discard(self, visit: str) -> None:
        pass

    def restart(self) -> None:
        pass

    def use_language(self, language: str) -> None:
        pass

    # What it asks of the panel.

    def show(self, scene: Scene) -> None:
        report("scene", scene=scene.name.lower(), visit=self._visit)
        self._seen.put(("scene", scene))

    def answer(self) -> None:
        pass

    def level(self, value: int) -> None:
        pass

    # The visitors.

    def wish(self, wish: str) -> None:
        """Let one visitor come, who will do this."""
        self._seen.put(("wish", wish))

    def cancel(self) -> None:
        """Let the visitor press *cancel*."""
        self._seen.put(("cancel", None))

    def run(self) -> None:
        """Live until the process ends."""
        self.post(
            ear_events.Ready(
                device="mic", rate_hz=16_000, channels=1, model="m", model_is_demonstration=True, language="en"
            )
        )
        while True:
            try:
                self._take(*self._seen.get(timeout=IMPATIENCE_S))
            except queue.Empty:
                self._come()

    def _take(self, kind: str, what: Any) -> None:
        match kind:
            case "begin":
                self._visit = what
                self.post(ear_events.SpeechEnded(visit=what))
            case "finish":
                self._speak(what)
            case "wish":
                self._wishes.append(what)
                self._come()
            case "cancel":
                self._cancel()
            case "scene":
                self._scene = what
                if what is Scene.THANKS:
                    self._after_thanks()
                elif what in (Scene.SORRY, Scene.NOTHING_HEARD) and self._wishes:
                    self._wishes.pop(0)
                self._come()

    def _come(self) -> None:
        """Press, if it is anybody's turn."""
        if self._scene is not Scene.IDLE:
            return
        if not self._by_hand:
            time.sleep(self._chance.choice((0.0, 0.0, 0.01)) * self._chance.random())
        elif not self._wishes:
            return
        self._press(Button.RECORD)

    def _speak(self, visit: str) -> None:
        says_nothing = not self._by_hand and self._chance.random() < 0.03
        words = [ear_events.Word(word, 0.1 * n, 0.1 * n + 0.1, 0.9) for n, word in enumerate(words_of(visit).split())]
        self.post(
            ear_events.Transcript(
                visit=visit,
                text=None if says_nothing else words_of(visit),
                language="en",
                model="m",
                confidence=0.9,
                words=() if says_nothing else tuple(words),
                audio_s=2.0,
                speech_s=1.0,
                finalise_ms=5.0,
                too_quiet=False,
                too_loud=False,
            )
        )

    def _after_thanks(self) -> None:
        takes_back = self._chance.random() < 0.2
        if self._by_hand:
            takes_back = self._wishes.pop(0) == "take_back"
        if takes_back:
            self._cancel()
        elif not self._by_hand and self._chance.random() < 0.5:
            # The next visitor does not wait for the end of the thanks.
            self._press(Button.RECORD)

    def _cancel(self) -> None:
        report("cancelled", visit=self._visit)
        self._press(Button.CANCEL)

    def _press(self, button: Button) -> None:
        self.post(ButtonPressed(button))
        self.post(ButtonReleased(button))


class NearGateway:
    """A gateway in this process, as far as its receipts go: late, in another order, doubled, missing, refusing."""

    def __init__(self, chance: random.Random, *, is_silent: bool) -> None:
        self._chance = chance
        self._is_silent = is_silent
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[Receipt], None], Receipt]] = []
        self._count = 0
        threading.Thread(target=self._run, name="near gateway", daemon=True).start()

    def link(self, _session: int, on_event: ConnectionHandler) -> Link:
        """Make the uplink's connection."""
        return _NearLink(self, on_event)

    def answer(self, feedback: Feedback, say: Callable[[Receipt], None]) -> None:
        """Send receipts for a feedback, or not."""
        if self._is_silent:
            return
        draw = self._chance.random()
        refused = draw < 0.02
        receipt = Receipt(
            id=feedback.id, outcome="refused" if refused else "stored", reason="as a test" if refused else None
        )
        for _ in range(0 if draw > 0.97 else 2 if draw > 0.85 else 1):
            with self._changed:
                self._count += 1
                due_s = time.monotonic() + self._chance.random() * 0.1
                heapq.heappush(self._due, (due_s, self._count, say, receipt))
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, _, say, receipt = heapq.heappop(self._due)
            say(receipt)


class _NearLink:
    def __init__(self, gateway: NearGateway, on_event: ConnectionHandler) -> None:
        self._gateway = gateway
        self._on_event = on_event

    def open(self) -> None:
        self._on_event(self, Up())

    def send_feedback(self, message: bytes) -> None:
        _report_sent(message)
        self._gateway.answer(messages.decode(Feedback, message), self._receipt)

    def send_health(self, message: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def _receipt(self, receipt: Receipt) -> None:
        report("receipt", visit=receipt.id, stored=receipt.outcome == "stored")
        self._on_event(self, Received(receipt))


class _ToldConnection(Connection):
    """The product's connection to a real broker, which also says what passes over it."""

    def __init__(
        self, credentials: BrokerCredentials, *, session: int, on_event: ConnectionHandler, keepalive_s: int
    ) -> None:
        super().__init__(
            credentials, session=session, agent_version="0", on_event=_told(on_event), keepalive_s=keepalive_s
        )
        self._client.on_publish = lambda _client, _data, number, *_: report("puback", number=number)
        self._plain_publish = self._client.publish
        setattr(self._client, "publish", self._publish)  # noqa: B010

    def send_feedback(self, message: bytes) -> None:
        """Say what is sent, and send it."""
        _report_sent(message)
        super().send_feedback(message)

    def _publish(self, topic: str, payload: bytes, **options: Any) -> MQTTMessageInfo:
        info = self._plain_publish(topic, payload, **options)
        if topic.endswith(f"/{Channel.FEEDBACK}"):
            report("handed", number=info.mid, visit=messages.decode(Feedback, payload).id)
        return info


def _told(on_event: ConnectionHandler) -> ConnectionHandler:
    def told(source: object, event: ConnectionEvent) -> None:
        if isinstance(event, Received):
            report("receipt", visit=event.receipt.id, stored=event.receipt.outcome == "stored")
        on_event(source, event)

    return told


def _told_agent(post: Callable[[UplinkEvent], None]) -> Callable[[UplinkEvent], None]:
    def told(event: UplinkEvent) -> None:
        match event:
            case Online():
                report("online")
            case Offline(reason=reason):
                report("offline", reason=reason)
            case Settled(record_id=visit, stored=stored):
                report("settled", visit=visit, stored=stored)
        post(event)

    return told


def _report_sent(message: bytes) -> None:
    feedback = messages.decode(Feedback, message)
    report("sent", visit=feedback.id, sequence=feedback.sequence, message=_digest(message))


def _digest(message: bytes | None) -> str | None:
    return None if message is None else hashlib.sha256(message).hexdigest()[:16]


class SetClock(SystemClock):
    """This machine's clock; a test need not wait for a time server."""

    def now(self) -> Stamp:
        """Return the present moment, by a clock that is set."""
        return structs.replace(super().now(), synchronised=True)


class WeakConnection(sqlite3.Connection):
    """A connection to a database that commits as `SYNCHRONOUS` says, whatever it is told."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run one statement."""
        weak, changes = re.subn(r"(?i)(PRAGMA synchronous\s*=\s*)FULL", rf"\g<1>{SYNCHRONOUS}", sql)
        if changes:
            report("weakened", to=SYNCHRONOUS)
        return super().execute(weak, *values)


def _report_spool(spool: Spool) -> None:
    """Say what the spool holds before the agent touches it."""
    entries = spool.entries(limit=1_000_000)
    with sqlite3.connect(spool.path) as other:
        integrity = other.execute("PRAGMA integrity_check").fetchone()[0]
    other.close()
    report(
        "opened",
        integrity=integrity,
        entries=[
            {
                "visit": entry.id,
                "state": entry.state,
                "sequence": entry.sequence,
                "message": _digest(entry.message),
                "readable": entry.record.transcript == words_of(entry.id),
            }
            for entry in entries
        ],
    )


def _make_link(arguments: argparse.Namespace, chance: random.Random) -> tuple[str, Callable[..., Link]]:
    """Return the kiosk's id and how it connects."""
    if arguments.credentials is None:
        return KIOSK_ID, NearGateway(chance, is_silent=arguments.silent or arguments.by_hand).link
    access = broker_credentials.load(arguments.credentials)
    if arguments.port is not None:
        access = structs.replace(access, port=arguments.port)
    keepalive_s = connection.KEEPALIVE_S if arguments.keepalive_s is None else arguments.keepalive_s

    def link(session: int, on_event: ConnectionHandler) -> Link:
        return _ToldConnection(access, session=session, on_event=on_event, keepalive_s=keepalive_s)

    return access.kiosk_id, link


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where the spool lies")
    parser.add_argument("--run", type=Path, required=True, help="where the event feed lies")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--by-hand", action="store_true", help="visitors come when they are told to")
    parser.add_argument("--silent", action="store_true", help="no receipt comes")
    parser.add_argument("--thanks-s", type=float, default=0.1, help="how long thanks are shown, by hand")
    parser.add_argument("--credentials", type=Path, help="of a real broker; without it receipts come from this process")
    parser.add_argument("--port", type=int, help="of the broker, instead of the one in the credentials")
    parser.add_argument("--keepalive-s", type=int)
    return parser.parse_args(arguments)


def _obey(commands: Iterable[str], visitors: Visitors, agent: Agent) -> None:
    for line in commands:
        command, _, how = line.strip().partition(" ")
        if command == "stop":
            agent.stop()
        elif command == "visit":
            visitors.wish(how)
        elif command == "cancel":
            visitors.cancel()


def main() -> None:
    """Be the kiosk until the end."""
    arguments = _parse(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if SYNCHRONOUS != "FULL":
        setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=WeakConnection))  # noqa: B010
    chance = random.Random(arguments.seed)
    spool = Spool(arguments.folder / "spool.sqlite3")
    _report_spool(spool)
    feed, clock = EventFeed(arguments.run), SetClock()
    feed.start()
    start_number = spool.begin()
    agent = Agent(
        spool=spool,
        feed=feed,
        clock=clock,
        limits=Limits(thanks_s=arguments.thanks_s, notice_s=NOTICE_S) if arguments.by_hand else LIMITS,
        agent_version="0",
        consent_version=None,
    )
    kiosk, make_link = _make_link(arguments, chance)
    uplink = Uplink(
        spool,
        clock,
        kiosk=kiosk,
        make_link=make_link,
        on_event=_told_agent(agent.post),
        start_number=start_number,
        # Nothing here is about time, and whether this machine's clock is set is not known.
        clock_patience_s=0.0,
        backoff=Backoff(first_s=0.2, ceiling_s=1.0),
    )
    visitors = Visitors(chance, by_hand=arguments.by_hand)
    visitors.post = agent.post
    uplink.start()
    threading.Thread(target=visitors.run, name="visitors", daemon=True).start()
    threading.Thread(target=_obey, args=(sys.stdin, visitors, agent), name="commands", daemon=True).start()
    report("started")
    agent.run(visitors, visitors, uplink.wake)
    uplink.stop()
    spool.close()
    feed.stop()


if __name__ == "__main__":
    main()
