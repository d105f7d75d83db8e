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
import logging
import os
import random
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from contract import credentials as broker_credentials
from device.agent import Agent
from device.backoff import Backoff
from device.clock import Stamp, SystemClock
from device.connection import KEEPALIVE_S, ConnectionHandler
from device.event_feed import EventFeed
from device.spool import Spool
from device.uplink import Link, Offline, Online, Settled, Uplink, UplinkEvent
from device.visit.limits import Limits
from tests.faults.links import NearGateway, ToldConnection
from tests.faults.reports import digest, report, words_of
from tests.faults.visitors import Visitors

SYNCHRONOUS = os.environ.get("VOISEBACK_TEST_SYNCHRONOUS", "FULL")
LIMITS = Limits(thanks_s=0.02, notice_s=0.02, interval_s=0.0)
NOTICE_S = 0.05
KIOSK_ID = "fast"


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
                "message": digest(entry.message),
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

    def link(session: int, on_event: ConnectionHandler) -> Link:
        return ToldConnection(access, session=session, on_event=on_event, keepalive_s=arguments.keepalive_s)

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
    parser.add_argument("--keepalive-s", type=int, default=KEEPALIVE_S)
    return parser.parse_args(arguments)


def _limits(arguments: argparse.Namespace) -> Limits:
    return replace(LIMITS, thanks_s=arguments.thanks_s, notice_s=NOTICE_S) if arguments.by_hand else LIMITS


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
        limits=_limits(arguments),
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
