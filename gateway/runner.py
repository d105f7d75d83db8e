"""Runs every part of the gateway in one process until it is told to stop."""

import logging
import signal
import threading
from collections.abc import Callable
from secrets import token_hex
from types import FrameType

from django.db import connections

from contract.service_manager import notify
from gateway import database, state
from gateway.analysis.embedded import embedded_engine
from gateway.analysis.engine import Engine
from gateway.analysis.linear import WeightsError
from gateway.analysis.worker import Analyst
from gateway.broker import place
from gateway.broker.files import GATEWAY_USER
from gateway.broker.process import Broker
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError
from gateway.feedback.committer import Committer
from gateway.feedback.subscriber import BrokerAccess, Subscriber
from gateway.kiosks.health_inbox import HealthInbox
from gateway.kiosks.health_keeper import HealthKeeper
from gateway.loop import Loop
from gateway.webhooks import outbox, secrets
from gateway.webhooks.deliver import Deliverer, rules_of
from gateway.webhooks.sender import Sender

logger = logging.getLogger(__name__)

START_S = 30.0
LOOK_S = 1.0
JOIN_S = 2.0


class Runner:
    """All parts, wired together."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._place = place.settle(settings)
        self._broker = Broker(self._place)
        access = BrokerAccess(
            host=self._place.dial,
            port=self._place.port,
            username=GATEWAY_USER,
            password=self._broker.password,
            ca=self._place.tls.authority,
            group=f"ingest-{token_hex(16)}",
        )
        health = HealthInbox()
        self._subscriber = Subscriber(access, health)
        sender = Sender.by_settings(settings.webhooks)
        self._deliverer = Deliverer(
            sender,
            secrets.open_box(settings.state_path),
            delays_s=settings.webhooks.retry_delays_s,
            deadline_s=settings.webhooks.deadline_s,
            rules=rules_of(settings.webhooks),
        )
        self._analyst = Analyst(_engine(), page_url=settings.page_url, enqueued=self._deliverer.wake)
        self._committer = Committer(self._subscriber, stored=self._analyst.wake)
        self._stop = threading.Event()
        self._broker_loop = Loop("broker", self._broker.turn, at_end=_in_order(self._broker.end, connections.close_all))
        self._commit_loop = Loop("commit", self._committer.turn, at_end=connections.close_all)
        self._loops = [
            Loop("deliver", self._deliverer.turn, at_end=_in_order(self._deliverer.drain, connections.close_all)),
            Loop("analyse", self._analyst.turn, at_end=connections.close_all),
            self._commit_loop,
            Loop("health", HealthKeeper(health).turn, at_end=connections.close_all),
            Loop("subscribe", self._subscriber.turn, at_end=connections.close_all),
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
        self._broker_loop.start()
        self._broker.wait_until_started(START_S)
        for loop in self._loops:
            loop.start()
        if not self._subscriber.wait_until_subscribed(START_S):
            raise GatewayError("the gateway cannot connect to its own broker; the log above says why")
        notify("READY=1")
        logger.info("gateway ready", extra={"port": self._place.port, "state_dir": str(self._settings.state_path)})

    def _look(self) -> None:
        dead = [loop.name for loop in (*self._loops, self._broker_loop) if not loop.is_alive()]
        if dead:
            raise GatewayError(f"a part of the gateway ended by itself: {', '.join(dead)}")
        notify("WATCHDOG=1")

    def _end(self) -> None:
        for loop in self._loops:
            loop.ask_to_stop()
        self._analyst.wake()
        self._deliverer.wake()
        # First what was taken is stored and receipted, then the connection ends.
        self._commit_loop.join(JOIN_S)
        self._subscriber.disconnect()
        for loop in self._loops:
            if not loop.join(JOIN_S + (3.0 if loop.name == "deliver" else 0.0)):
                logger.warning("%s did not end in time", loop.name)
        self._broker_loop.ask_to_stop()
        self._broker_loop.join(JOIN_S + 3.0)
        connections.close_all()
        logger.info("gateway stopped")


def run(settings: GatewaySettings) -> None:
    """Run the gateway on its state directory.

    Raises:
        GatewayError: another one runs on it, or a part does not start.
    """
    with state.exclusive(settings.state_path):
        database.bring_up_to_date()
        # Whoever held them died: the lock says that nobody else delivers.
        outbox.forget_leases()
        Runner(settings).run()


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
