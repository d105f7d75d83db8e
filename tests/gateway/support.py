"""What several of the gateway's tests need."""

import contextlib
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract import credentials, messages, topics
from contract.credentials import BrokerCredentials
from contract.messages import Feedback, Receipt, Reply, Status
from contract.topics import Channel
from gateway.cli.main import main
from gateway.kiosks.models import Kiosk

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
COMMAND = str(Path(sys.executable).parent / "kiosk-gateway")


def feedback_message(**changes: Any) -> Feedback:
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "kiosk": "shop-1",
        "created_at": NOW,
        "clock": "synchronised",
        "transcript": "the staff was very kind",
        "language": "en",
        "confidence": 0.9,
        "words": (),
        "speech_s": 1.5,
        "audio_s": 2.0,
        "model": "small-en",
        "agent_version": "0.1.0",
        "sequence": 1,
        "consent_version": None,
    }
    return Feedback(**{**fields, **changes})


def reply_message(feedback_id: str, **changes: Any) -> Reply:
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "kiosk": "shop-1",
        "feedback_id": feedback_id,
        "user_email": "visitor@example.org",
        "wants_reply": True,
        "created_at": NOW,
        "consent_version": "1",
    }
    return Reply(**{**fields, **changes})


def status_message(**changes: Any) -> Status:
    fields: dict[str, Any] = {
        "kiosk": "shop-1",
        "state": "online",
        "session": 1,
        "agent_version": "0.1.0",
        "address": "10.0.0.7",
    }
    return Status(**{**fields, **changes})


T = TypeVar("T")


def make_kiosk(kiosk: str) -> Kiosk:
    return Kiosk.objects.create(id=kiosk, credential="$7$", credential_changed_at=NOW, created_at=NOW)


def wait_until(look: Callable[[], T | None], deadline_s: float = 15.0) -> T:
    """Return what ``look`` returns as soon as it is true."""
    end = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"did not come within {deadline_s} s")
        time.sleep(0.02)
    return found


class Receiver:
    """A real HTTP server that keeps what it got and answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.default: tuple[int, dict[str, str]] = (200, {})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((dict(self.headers.items()), body))
                status, headers = outer.answers.pop(0) if outer.answers else outer.default
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            # A sender keeps its connections; their threads end with them.
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self) -> list[str]:
        return [json.loads(body)["event"] for _, body in list(self.requests)]


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Serve a port at which ``talk`` has each connection, after the request was read; yield the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65_536)
                talk(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class GatewayProcess:
    """The real gateway in a process of its own, with its real broker."""

    def __init__(self, folder: Path, *, extra: str = "", roles: tuple[str, ...] = (), port: int = 0) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._roles = roles
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'state_dir = "{self.state}"\n'
            f"[monitoring]\nport = {port}\n"
            '[broker]\nhosts = ["127.0.0.1"]\nlisten = "127.0.0.1"\nport = 0\n'
            f'[webhooks]\nallowed_networks = ["127.0.0.1/32"]\n{extra}'
        )
        self.log_file = folder / "-".join(["log", *roles])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, program: tuple[str, ...] = (COMMAND,)) -> "GatewayProcess":
        self.log_file.write_bytes(b"")
        with self.log_file.open("wb") as log:
            roles = [f"--role={role}" for role in self._roles]
            command = [*program, "--config", str(self.config), "run", "--log-format", "json", *roles]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: self.logged("gateway ready") or self._fail_if_dead(), 30)
        return self

    def _fail_if_dead(self) -> list[dict[str, Any]]:
        assert self._process is not None
        assert self._process.poll() is None, self.log_file.read_text()
        return []

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def is_dead(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def wait_for_death(self) -> int:
        assert self._process is not None
        return self._process.wait(30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def broker_pid(self) -> int:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        pids = [int(pid) for each in children for pid in each.read_text().split()]
        return next(pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "mosquitto")

    def cli(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, "--config", str(self.config), *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done

    def add_kiosk(self, name: str) -> BrokerCredentials:
        path = self.folder / f"{name}.toml"
        self.cli("kiosk", "add", name, "--credentials", str(path))
        return credentials.load(path)

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def logged(self, message: str, **fields: object) -> list[dict[str, Any]]:
        return [
            line
            for line in self.log()
            if line["message"] == message and all(line.get(key) == value for key, value in fields.items())
        ]


class KioskClient:
    """A kiosk as the broker sees it."""

    def __init__(self, access: BrokerCredentials, *, will: Status | None = None) -> None:
        self.access = access
        self.refused: list[str] = []
        self.received: list[tuple[str, bytes]] = []
        self.published: dict[int, str] = {}
        self.disconnected = threading.Event()
        self._subscribed = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        client.username_pw_set(access.username, access.password)
        client.tls_set_context(ssl.create_default_context(cadata=access.ca_certificate))
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _c, _u, message: self.received.append((message.topic, bytes(message.payload)))
        client.on_publish = lambda _c, _u, mid, reason, _p: self.published.__setitem__(mid, str(reason))
        client.on_disconnect = lambda *_: self.disconnected.set()
        if will is not None:
            client.will_set(topics.topic(will.kiosk, Channel.STATUS), messages.encode(will), qos=1, retain=True)
        self.client = client

    def _on_connect(self, client: mqtt.Client, _u: object, _f: object, reason: Any, _p: object) -> None:
        if reason.is_failure:
            self.refused.append(str(reason))
        else:
            client.subscribe([(topics.topic(self.access.kiosk_id, Channel.RECEIPT), 1)])

    def connect(self) -> "KioskClient":
        self.client.connect(self.access.host, self.access.port)
        self.client.loop_start()
        wait_until(lambda: self._subscribed.is_set() or self.refused)
        return self

    def close(self, *, silently: bool = False) -> None:
        """Say goodbye, or be gone so that the broker publishes the will."""
        if silently:
            connection = self.client.socket()
            assert isinstance(connection, socket.socket)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> "KioskClient":
        return self.connect()

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        """Publish and return the broker's reason."""
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        wait_until(lambda: sent.mid in self.published or self.disconnected.is_set())
        return self.published.get(sent.mid, "disconnected")

    def send(self, message: messages.Message, channel: Channel = Channel.FEEDBACK) -> str:
        return self.publish(
            topics.topic(self.access.kiosk_id, channel), messages.encode(message), retain=channel is Channel.STATUS
        )

    def receipts(self, key: str) -> list[Receipt]:
        found = [msgspec.json.decode(payload, type=Receipt) for _, payload in list(self.received)]
        return [receipt for receipt in found if receipt.id == key]

    def wait_for_receipt(self, key: str, number: int = 1) -> Receipt:
        wait_until(lambda: len(self.receipts(key)) >= number)
        return self.receipts(key)[number - 1]


def is_dead(pid: int) -> bool:
    """Tell whether a process has ended, even if nobody has asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def verifying_receiver(verify: Callable[[bytes, str], bool]) -> Iterator[str]:
    """Serve a URL that answers 200 to what ``verify`` (body and signature header) accepts, else 401."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if verify(body, self.headers.get("Webhook-Signature", "")) else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class Shell:
    """Runs commands on one state directory."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'state_dir = "{folder / "state"}"\n[broker]\nhosts = ["gw.example"]\nport = 8884\n'
            '[webhooks]\nallowed_networks = ["127.0.0.1/32"]\ndeadline_s = 5\n'
        )

    def __call__(self, *args: str) -> tuple[int, str, str]:
        status = main(["--config", str(self.config), *args])
        out, err = self._capsys.readouterr()
        return status, out, err

    def fails(self, *args: str, status: int = 1) -> str:
        """Run a command that fails; return its one sentence."""
        got, out, err = self(*args)
        assert (got, out) == (status, "")
        assert err.startswith("kiosk-gateway: ")
        assert err.count("\n") == 1
        return err
