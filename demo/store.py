"""One store with one kiosk: gateway, receiver, kiosk agent, virtual panel and microphone, in one folder.

The programs are the product's own commands, started as its users start them. Each part can be stopped, killed and
started again on its own; the folder keeps what they keep.
"""

import contextlib
import json
import secrets
import socket
import threading
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.happenings import Happenings
from demo.microphone import SimulatedMicrophone
from demo.process import BIN, Process, ProcessError, run_to_end
from device.event_feed import SOCKET_NAME

KIOSK_ID = "front-door"
ENDPOINT = "backend"
START_S = 30.0
_POLL_S = 0.02


class Store:
    """Everything that one store has. Use it as a context: leaving stops every process.

    Args:
        folder: where all state, settings and logs go.
        happenings: collects what the processes tell.
        microphone: the simulated one, or None for the machine's own.
        thanks_s: how long thanks are shown and the feedback can be taken back.
        retry_delays_s: the webhook's retries, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        happenings: Happenings,
        *,
        microphone: SimulatedMicrophone | None,
        thanks_s: float = 1.0,
        retry_delays_s: tuple[int, ...] = (1, 1, 2, 5, 5, 5, 5, 5),
    ) -> None:
        self.folder = folder
        self.happenings = happenings
        self.microphone = microphone
        self._thanks_s = thanks_s
        self._retry_delays_s = retry_delays_s
        self.secret_file = folder / "webhook-secret"
        self.gateway_config = folder / "gateway.toml"
        self.kiosk_config = folder / "kiosk.toml"
        self.panel_port = folder / "panel"
        self.receiver_url = ""
        self.gateway: Process | None = None
        self.kiosk: Process | None = None
        self.panel: Process | None = None
        self.receiver: Process | None = None
        self._feed_reader: threading.Thread | None = None
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self.kiosk, self.panel, self.gateway, self.receiver):
            if part is not None:
                part.stop()
        if self._feed_reader is not None:
            self._feed_reader.join()

    # ------------------------------------------------------------ setting up

    def set_up(self) -> None:
        """Write the settings, add the kiosk and the endpoint, each by the product's own command."""
        self._write_gateway_settings()
        self.gateway_command("kiosk", "add", KIOSK_ID, "--credentials", self.folder / "credentials.toml")
        self.start_receiver()
        self.gateway_command("endpoint", "add", ENDPOINT, self.receiver_url, "--secret-file", self.secret_file)
        self._write_kiosk_settings()

    def start(self) -> None:
        """Start everything, and wait until a visitor could press the button."""
        mark = len(self.happenings)
        self.start_gateway()
        self.start_panel()
        self.start_kiosk()
        self.happenings.wait_for("kiosk", "online", since=mark, timeout_s=START_S)

    # ------------------------------------------------------------ the parts

    def start_gateway(self) -> None:
        """Start the gateway with its broker, and wait until it works."""
        mark = len(self.happenings)
        self.gateway = Process(
            [BIN / "kiosk-gateway", "run", "--config", self.gateway_config, "--log-format", "json"],
            log=self._log("gateway"),
            on_line=self._gateway_line,
            watch="stderr",
        )
        self._wait_ready(self.gateway, "gateway", "gateway ready", mark)

    def start_receiver(self) -> None:
        """Start the customer's backend: the product's own webhook listener."""
        self._make_secret()
        mark = len(self.happenings)
        port = self.receiver_url.rsplit(":", 1)[-1].strip("/") or "0"
        self.receiver = Process(
            [BIN / "kiosk-gateway", "listen", "--port", port, "--json", "--secret-file", self.secret_file],
            log=self._log("receiver"),
            on_line=self._receiver_line,
        )
        self._wait_ready(self.receiver, "receiver", "listening", mark)
        self.receiver_url = self.happenings.find("receiver", "listening", since=mark)[-1].fields["listening"]

    def start_panel(self) -> None:
        """Start the virtual button panel."""
        self.panel = Process(
            [BIN / "kiosk", "panel", "virtual", "--link", self.panel_port],
            log=self._log("panel"),
            on_line=self._panel_line,
        )
        deadline_s = time.monotonic() + START_S
        while not self.panel_port.exists():
            if not self.panel.alive or time.monotonic() > deadline_s:
                raise ProcessError(f"the virtual panel did not start: {self.panel.last_words()}")
            time.sleep(_POLL_S)

    def start_kiosk(self, *, wait_for_ear: bool = True) -> None:
        """Start the kiosk agent, and wait until it can hear."""
        mark = len(self.happenings)
        environment = self.microphone.environment() if self.microphone else {}
        self.kiosk = Process(
            [BIN / "kiosk", "run", "--config", self.kiosk_config],
            log=self._log("kiosk"),
            watch="stderr",
            environment=environment,
        )
        self._follow_feed(self.kiosk)
        if wait_for_ear:
            self._wait_ready(self.kiosk, "kiosk", "scene", mark, scene="idle")

    def press(self, button: str = "record") -> None:
        """Press and release a button of the panel, as a tap."""
        assert self.panel is not None
        self.panel.write(f"tap {button} 80")

    def visit(self, wav: Path) -> int:
        """Press the button and, when the light says that it records, speak; return where the happenings begin."""
        assert self.microphone is not None
        mark = len(self.happenings)
        self.press()
        self.happenings.wait_for("panel", "scene", scene="recording", since=mark, timeout_s=START_S)
        self.microphone.say(wav)
        return mark

    def spooled(self) -> list[str]:
        """Return the ids of the records that the kiosk has and the gateway has not confirmed."""
        listing = run_to_end([BIN / "kiosk", "spool", "list", "--json", "--config", self.kiosk_config])
        return [json.loads(line)["id"] for line in listing.splitlines()]

    def gateway_command(self, *arguments: str | Path) -> str:
        """Run one of the gateway's commands on this store and return what it printed."""
        return run_to_end([BIN / "kiosk-gateway", *arguments, "--config", self.gateway_config])

    # ------------------------------------------------------------ settings

    def _write_gateway_settings(self) -> None:
        delays = ", ".join(map(str, self._retry_delays_s))
        self.gateway_config.write_text(
            f'state_dir = "{self.folder / "gateway"}"\n'
            '[broker]\nhosts = ["localhost", "127.0.0.1"]\nlisten = "127.0.0.1"\nport = 0\n'
            # Several stores may be on one machine, and the port of health and metrics is a fixed one.
            "[monitoring]\nport = 0\n"
            f'[webhooks]\nallowed_networks = ["127.0.0.0/8"]\nretry_delays_s = [{delays}]\n',
            encoding="utf-8",
        )

    def _write_kiosk_settings(self) -> None:
        device = 'device = "mic"\n' if self.microphone else ""
        self.kiosk_config.write_text(
            f'credentials = "{self.folder / "credentials.toml"}"\n'
            f'state_dir = "{self.folder / "kiosk"}"\nruntime_dir = "{self.folder / "run"}"\n'
            f'[panel]\nport = "{self.panel_port}"\n'
            f"[audio]\n{device}"
            f'[visit]\nthanks_s = {self._thanks_s}\ninterval_s = 0\nconsent_version = "demo-1"\n'
            # This machine may have a right clock and no time server.
            "[clock]\npatience_s = 0\n",
            encoding="utf-8",
        )

    def _make_secret(self) -> None:
        if not self.secret_file.exists():
            self.secret_file.touch(0o600)
            self.secret_file.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    # ------------------------------------------------------------ what the parts tell

    def _wait_ready(self, process: Process, source: str, name: str, mark: int, **fields: str) -> None:
        deadline_s = time.monotonic() + START_S
        while not self.happenings.find(source, name, since=mark, **fields):
            if not process.alive:
                raise ProcessError(f"the {source} ended at its start: {process.last_words()}")
            if time.monotonic() > deadline_s:
                raise ProcessError(f"the {source} is not ready after {START_S:.0f} s: {process.last_words()}")
            time.sleep(_POLL_S)

    def _gateway_line(self, line: str) -> None:
        try:
            fields = json.loads(line)
            at = datetime.fromisoformat(fields.pop("time")).timestamp()
            name = fields.pop("message")
        except (ValueError, KeyError, AttributeError):
            return
        self.happenings.add("gateway", name, at, **fields)

    def _receiver_line(self, line: str) -> None:
        fields = json.loads(line)
        if "listening" in fields:
            self.happenings.add("receiver", "listening", **fields)
            return
        at = datetime.fromisoformat(fields["received_at"]).timestamp()
        self.happenings.add("receiver", "webhook", at, **fields)

    def _panel_line(self, line: str) -> None:
        fields = json.loads(line)
        at = fields.pop("at_s", time.monotonic()) - time.monotonic() + time.time()
        self.happenings.add("panel", fields.pop("event"), at, **fields)

    def _follow_feed(self, kiosk: Process) -> None:
        if self._feed_reader is not None:
            self._feed_reader.join()
        self._feed_reader = threading.Thread(target=self._read_feed, args=(kiosk,), daemon=True)
        self._feed_reader.start()

    def _read_feed(self, kiosk: Process) -> None:
        """Follow the events of one life of the agent to its end."""
        path = self.folder / "run" / SOCKET_NAME
        while kiosk.alive:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as feed:
                try:
                    feed.connect(str(path))
                except OSError:
                    time.sleep(_POLL_S)
                    continue
                # A killed agent resets the connection.
                with contextlib.suppress(ConnectionError), feed.makefile("r", encoding="utf-8") as lines:
                    for line in lines:
                        if line.endswith("\n"):
                            fields = json.loads(line)
                            self.happenings.add("kiosk", fields.pop("event"), fields.pop("at"), **fields)
