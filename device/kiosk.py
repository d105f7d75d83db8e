"""The kiosk as a whole: makes the parts from the settings, starts them in order, stops them in reverse."""

import importlib.metadata
import logging
from contextlib import ExitStack
from pathlib import Path

from audio.ear_process import EarProcess
from audio.settings import AudioSettings
from contract import credentials as broker_credentials
from device import speech_models
from device.agent import Agent
from device.clock import ClockWatch, SystemClock
from device.connection import Connection, ConnectionHandler
from device.event_feed import EventFeed
from device.lock import InstanceLock
from device.settings import KioskSettings
from device.spool import Spool
from device.uplink import Uplink
from firmware_bridge import PanelBridge

log = logging.getLogger(__name__)

SPOOL_NAME = "spool.sqlite3"


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
        self._credentials = broker_credentials.load(Path(settings.credentials))
        with ExitStack() as stack:
            lock = InstanceLock(Path(settings.state_dir))
            stack.callback(lock.free)
            self._spool = Spool(Path(settings.state_dir) / SPOOL_NAME)
            stack.callback(self._spool.close)
            self._feed = EventFeed(Path(settings.runtime_dir))
            self._feed.start()
            stack.callback(self._feed.stop)
            self._stack = stack.pop_all()
        clock = ClockWatch(SystemClock())
        start_number = self._spool.begin()
        self._agent = Agent(
            spool=self._spool,
            feed=self._feed,
            clock=clock,
            limits=settings.visit.limits(),
            agent_version=agent_version(),
            consent_version=settings.visit.consent_version,
        )
        self._uplink = Uplink(
            self._spool,
            clock,
            kiosk=self._credentials.kiosk_id,
            make_link=self._connection,
            on_event=self._agent.post,
            start_number=start_number,
            clock_patience_s=settings.clock.patience_s,
        )

    def run(self) -> None:
        """Work until `stop`."""
        port = self._settings.panel.port
        panel = PanelBridge(port, self._agent.post) if port else None
        with self._stack as stack:
            hearing = self._choose_models(stack)
            ear = EarProcess(hearing, self._agent.post)
            self._uplink.start()
            stack.callback(self._uplink.stop)
            ear.start()
            stack.callback(ear.stop)
            if panel is not None:
                panel.start()
                stack.callback(panel.stop)
            log.info("The kiosk %s works", self._credentials.kiosk_id)
            self._agent.run(ear, panel, self._uplink.wake, tuple(hearing.folders))
            log.info("The kiosk %s stops", self._credentials.kiosk_id)

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._agent.stop()

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
