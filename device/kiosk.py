"""The kiosk as a whole: makes the parts from the settings, starts them in order, stops them in reverse."""

import importlib.metadata
import logging
import os
from contextlib import ExitStack
from pathlib import Path

from audio.ear_process import EarProcess
from audio.protocol import EarEvent, EarLost, LanguageUnusable, MicrophoneHealth, Ready
from audio.settings import AudioSettings
from contract import credentials as broker_credentials
from contract.service_manager import notify, watchdog_s
from device import speech_models
from device.agent import Agent
from device.clock import ClockWatch, SystemClock
from device.connection import Connection, ConnectionHandler
from device.credentials import credentials_path
from device.event_feed import EventFeed
from device.health import HealthMaker, Sources
from device.health_reporter import HealthReporter
from device.lock import InstanceLock
from device.machine import Machine
from device.settings import KioskSettings
from device.spool import Spool
from device.uplink import Offline, Online, Uplink, UplinkEvent
from device.watchdog import Watchdog
from firmware_bridge import PanelBridge, PanelEvent, PanelOffline, PanelOnline

log = logging.getLogger(__name__)

SPOOL_NAME = "spool.sqlite3"

_NEWS = (Ready, EarLost, MicrophoneHealth, LanguageUnusable, PanelOnline, PanelOffline, Online, Offline)
"""Events with which the state of a part may change."""


def agent_version() -> str:
    """Return the version of the installed product."""
    return importlib.metadata.version("voiseback-kiosk")


class Kiosk:
    """Everything that `kiosk run` runs."""

    def __init__(self, settings: KioskSettings) -> None:
        """Read the credentials and open the spool.

        Raises:
            contract.settings_file.SettingsError: the credentials cannot be used.
            device.lock.AlreadyRunningError: another agent runs on this spool.
            device.spool.SpoolError: the spool cannot be used.
            OSError: a folder cannot be written.
        """
        self._settings = settings
        self._credentials = broker_credentials.load(credentials_path(settings, os.environ))
        with ExitStack() as stack:
            lock = InstanceLock(Path(settings.state_dir))
            stack.callback(lock.free)
            self._spool = Spool(Path(settings.state_dir) / SPOOL_NAME)
            stack.callback(self._spool.close)
            self._feed = EventFeed(Path(settings.runtime_dir))
            self._feed.start()
            stack.callback(self._feed.stop)
            self._stack = stack.pop_all()
        self._clock = ClockWatch(SystemClock())
        self._watchdog: Watchdog | None = None
        self._reporter: HealthReporter | None = None
        start_number = self._spool.begin()
        self._agent = Agent(
            spool=self._spool,
            feed=self._feed,
            clock=self._clock,
            limits=settings.visit.limits(),
            agent_version=agent_version(),
            consent_version=settings.visit.consent_version,
            hours=settings.hours.hours(),
            on_turn=self._turn,
        )
        self._uplink = Uplink(
            self._spool,
            self._clock,
            kiosk=self._credentials.kiosk_id,
            make_link=self._connection,
            on_event=self._post,
            start_number=start_number,
            clock_patience_s=settings.clock.patience_s,
        )

    def run(self) -> None:
        """Work until `stop`. The service manager, if there is one, is told when a press can be taken, and at the end.

        Raises:
            OSError: a folder cannot be written.
        """
        port = self._settings.panel.port
        panel = PanelBridge(port, self._post) if port else None
        with self._stack as stack:
            hearing = self._choose_models(stack)
            ear = EarProcess(hearing, self._post)
            self._watchdog = Watchdog(ear.progress, period_s=watchdog_s(os.environ, os.getpid()))
            self._reporter = self._make_reporter(ear, panel)
            self._reporter.start()
            stack.callback(self._reporter.stop)
            self._uplink.start()
            stack.callback(self._uplink.stop)
            ear.start()
            stack.callback(ear.stop)
            if panel is not None:
                panel.start()
                stack.callback(panel.stop)
            log.info("The kiosk %s works", self._credentials.kiosk_id)
            self._agent.run(ear, panel, self._uplink.wake, tuple(hearing.folders))
            notify("STOPPING=1")
            log.info("The kiosk %s stops", self._credentials.kiosk_id)

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._agent.stop()

    def _post(self, event: EarEvent | PanelEvent | UplinkEvent) -> None:
        self._agent.post(event)
        if self._reporter is not None and isinstance(event, _NEWS):
            self._reporter.news()

    def _turn(self) -> None:
        if self._watchdog is not None:
            self._watchdog.turn()

    def _make_reporter(self, ear: EarProcess, panel: PanelBridge | None) -> HealthReporter:
        sources = Sources(
            agent=self._agent.stats,
            ear=ear.stats,
            panel=None if panel is None else panel.stats,
            identity=lambda: None if panel is None else panel.identity,
            uplink=self._uplink.stats,
            spool=self._spool.stats,
            clock=self._clock.stats,
            machine=Machine(Path(self._settings.state_dir)).stats,
        )
        return HealthReporter(
            HealthMaker(sources, kiosk=self._credentials.kiosk_id, agent_version=agent_version()),
            Path(self._settings.runtime_dir),
            self._uplink.send_health,
            interval_s=self._settings.health_interval_s,
        )

    def _choose_models(self, stack: ExitStack) -> AudioSettings:
        """Return the ear's settings with the models to use, which cannot be removed until the kiosk stops."""
        shelf = speech_models.shelf_of(self._settings)
        chosen = speech_models.choose(self._settings.audio, shelf)
        for warning in chosen.warnings:
            log.warning("%s", warning)
        for held in speech_models.hold_all(chosen, shelf):
            stack.callback(held.free)
        return chosen.audio

    def _connection(self, session: int, on_event: ConnectionHandler) -> Connection:
        return Connection(self._credentials, session=session, agent_version=agent_version(), on_event=on_event)
