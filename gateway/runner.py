"""Runs the gateway's parts in one process until it is told to stop: all of them, or those of some roles."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from types import FrameType

from django.db import connections

from contract.service_manager import notify
from gateway import database, state
from gateway.analysis.embedded import embedded_engine
from gateway.analysis.engine import Engine
from gateway.analysis.linear import WeightsError
from gateway.analysis.worker import Analyst
from gateway.broker import access, place
from gateway.broker.process import Broker
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError
from gateway.feedback.committer import Committer
from gateway.feedback.limits import DiskRoom, RateLimit
from gateway.feedback.subscriber import Subscriber
from gateway.kiosks.health_inbox import HealthInbox
from gateway.kiosks.health_keeper import HealthKeeper
from gateway.loop import Loop
from gateway.monitoring import health, metrics
from gateway.monitoring.server import Monitor
from gateway.retention import Retention
from gateway.roles import Role
from gateway.wakeups import Wakeups, Work
from gateway.webhooks import outbox, secrets
from gateway.webhooks.deliver import Deliverer, rules_of
from gateway.webhooks.sender import Sender

logger = logging.getLogger(__name__)

START_S = 30.0
LOOK_S = 1.0
JOIN_S = 2.0
LONGEST_S = 300.0
"""No turn of a part takes so long; the service manager is then left without a sign of life, and starts anew."""


class Runner:
    """The parts of some roles, wired together."""

    def __init__(self, settings: GatewaySettings, roles: Set[Role]) -> None:
        self._settings = settings
        self._roles = roles
        self._stop = threading.Event()
        self._wakeups = Wakeups()
        self._hanging: list[str] = []
        self._wakes: list[Callable[[], None]] = []
        self._broker: Broker | None = None
        self._broker_loop: Loop | None = None
        self._subscriber: Subscriber | None = None
        self._committer: Committer | None = None
        self._room: DiskRoom | None = None
        self._commit_loop: Loop | None = None
        # In the order of their start: first who works off, last who takes in.
        self._loops: list[Loop] = []
        if Role.DELIVER in roles:
            self._add_deliverer()
        if Role.ANALYSE in roles:
            self._add_analyst()
        if self._wakes and database.is_postgresql():
            self._loops.append(Loop("listen", self._wakeups.turn, at_end=connections.close_all))
        if Role.INGEST in roles:
            self._add_ingest()
        if settings.monitoring.port:
            self._add_monitor()

    def _add_deliverer(self) -> None:
        webhooks = self._settings.webhooks
        deliverer = Deliverer(
            Sender.by_settings(webhooks),
            secrets.open_box(self._settings.state_path),
            delays_s=webhooks.retry_delays_s,
            deadline_s=webhooks.deadline_s,
            rules=rules_of(webhooks),
        )
        at_end = _in_order(deliverer.drain, connections.close_all)
        self._loops.append(Loop("deliver", deliverer.turn, at_end=at_end, longest_s=LONGEST_S))
        self._wakeups.hear(Work.DELIVER, deliverer.wake)
        self._wakes.append(deliverer.wake)

    def _add_analyst(self) -> None:
        analyst = Analyst(
            _engine(), page_url=self._settings.page_url, enqueued=lambda: self._wakeups.tell(Work.DELIVER)
        )
        self._loops.append(Loop("analyse", analyst.turn, at_end=connections.close_all, longest_s=LONGEST_S))
        retention = Retention(self._settings.retention)
        self._loops.append(Loop("retention", retention.turn, at_end=connections.close_all))
        self._wakeups.hear(Work.ANALYSE, analyst.wake)
        self._wakes.append(analyst.wake)

    def _add_ingest(self) -> None:
        external = self._settings.broker.external
        if external is None:
            own = place.settle(self._settings)
            self._broker = Broker(own)
            at_end = _in_order(self._broker.end, connections.close_all)
            self._broker_loop = Loop("broker", self._broker.turn, at_end=at_end)
            to_broker = access.to_own(own, self._broker.password)
        else:
            to_broker = access.to_external(external, now=datetime.now(UTC))
        inbox = HealthInbox()
        self._subscriber = Subscriber(to_broker, inbox)
        limits = self._settings.ingest
        # PostgreSQL says itself when its disk is full, and its disk may be anywhere.
        self._room = DiskRoom(self._settings.state_path, 0 if database.is_postgresql() else limits.min_free_mb)
        self._committer = committer = Committer(
            self._subscriber,
            rate=RateLimit(limits.rate_per_s, limits.burst),
            room=self._room,
            stored=lambda: self._wakeups.tell(Work.ANALYSE),
        )
        self._commit_loop = Loop("commit", committer.turn, at_end=connections.close_all, longest_s=LONGEST_S)
        keep_health = Loop("health", HealthKeeper(inbox).turn, at_end=connections.close_all)
        subscribe = Loop("subscribe", self._subscriber.turn, at_end=connections.close_all)
        self._loops.extend([self._commit_loop, keep_health, subscribe])

    def _add_monitor(self) -> None:
        parts = self._parts()
        monitoring = self._settings.monitoring

        def metrics_text() -> str:
            found = health.look(parts)
            lines = [metrics.of_parts(found), *metrics.of_process(self._settings.state_path), *self._ingest_metrics()]
            if found.parts["database"] is None:
                lines += metrics.of_database(datetime.now(UTC))
            return metrics.render(lines)

        monitor = Monitor(monitoring.listen, monitoring.port, health=lambda: health.look(parts), metrics=metrics_text)
        self._loops.append(Loop("monitor", monitor.turn, at_end=connections.close_all))

    @property
    def _all_loops(self) -> list[Loop]:
        return [*self._loops, *([] if self._broker_loop is None else [self._broker_loop])]

    def _parts(self) -> dict[str, health.Look]:
        parts: dict[str, health.Look] = {"database": health.database_problem}
        parts.update((loop.name, loop.problem) for loop in self._all_loops)
        subscriber, room = self._subscriber, self._room
        if subscriber is not None:
            parts["subscribe"] = lambda: None if subscriber.is_subscribed else "it is not connected to the broker"
        if room is not None:
            parts["disk"] = lambda: None if room.is_enough(time.monotonic()) else "there is too little room on the disk"
        return parts

    def _ingest_metrics(self) -> list[metrics.Metric]:
        committer, subscriber = self._committer, self._subscriber
        if committer is None or subscriber is None:
            return []
        counts = {"dropped": subscriber.dropped, **committer.counts}
        text = "Time that the commits of messages took, and how many there were."
        return [
            metrics.by("messages_total", "counter", "Messages by what became of them.", "outcome", counts),
            metrics.one("commit_seconds_total", "counter", text, committer.commit_s),
            metrics.one("commits_total", "counter", text, committer.commits),
        ]

    def run(self) -> None:
        """Start, run, and stop on SIGTERM or SIGINT.

        Raises:
            GatewayError: a part did not start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            self._start()
            while not self._stop.wait(LOOK_S):
                self._look()
        finally:
            notify("STOPPING=1")
            self._end()

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _start(self) -> None:
        if self._broker is not None and self._broker_loop is not None:
            self._broker_loop.start()
            self._broker.wait_until_started(START_S)
        for loop in self._loops:
            loop.start()
        # Another broker may be away for now, and is waited for as long as it takes.
        its_own = None if self._broker is None else self._subscriber
        if its_own is not None and not its_own.wait_until_subscribed(START_S):
            raise GatewayError("the gateway cannot connect to its own broker; the log above says why")
        notify("READY=1")
        fields: dict[str, object] = {"state_dir": str(self._settings.state_path)}
        if self._broker is not None:
            fields["port"] = self._broker.port
        if self._roles != set(Role):
            fields["roles"] = " ".join(sorted(self._roles))
        logger.info("gateway ready", extra=fields)

    def _look(self) -> None:
        loops = self._all_loops
        dead = [loop.name for loop in loops if not loop.is_alive()]
        if dead:
            raise GatewayError(f"a part of the gateway ended by itself: {', '.join(dead)}")
        hanging = [loop.name for loop in loops if loop.hangs]
        if hanging and not self._hanging:
            logger.error("a part of the gateway hangs", extra={"parts": " ".join(hanging)})
        self._hanging = hanging
        if not hanging:
            notify("WATCHDOG=1")

    def _end(self) -> None:
        for loop in self._loops:
            loop.ask_to_stop()
        for wake in self._wakes:
            wake()
        # First what was taken is stored and receipted, then the connection ends.
        if self._commit_loop is not None:
            self._commit_loop.join(JOIN_S)
        if self._subscriber is not None:
            self._subscriber.disconnect()
        for loop in self._loops:
            if not loop.join(JOIN_S + (3.0 if loop.name == "deliver" else 0.0)):
                logger.warning("%s did not end in time", loop.name)
        if self._broker_loop is not None:
            self._broker_loop.ask_to_stop()
            self._broker_loop.join(JOIN_S + 3.0)
        connections.close_all()
        logger.info("gateway stopped")


def run(settings: GatewaySettings, roles: Set[Role] = frozenset(Role)) -> None:
    """Run the gateway, or the parts of some roles.

    Raises:
        GatewayError: another one runs on its state directory or its SQLite file, or a part does not start.
    """
    has_broker = Role.INGEST in roles and settings.broker.external is None
    alone = has_broker or not database.is_postgresql()
    with state.exclusive(settings.state_path) if alone else contextlib.nullcontext():
        database.bring_up_to_date()
        database.warn_of_missing_durability()
        if not database.is_postgresql():
            # Whoever held them died: the lock says that nobody else delivers.
            outbox.forget_leases()
        Runner(settings, roles).run()


def _engine() -> Engine:
    try:
        return embedded_engine()
    except WeightsError as error:
        raise GatewayError(f"the analysis cannot be used: {error}; install the gateway again") from None


def _in_order(*acts: Callable[[], None]) -> Callable[[], None]:
    def act() -> None:
        for each in acts:
            each()

    return act
