"""The broker's process: started so that it cannot outlive the gateway, watched, restarted, told of new kiosks."""

import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import IO

from gateway import state
from gateway.broker import certificates, files, passwords
from gateway.broker.place import Place
from gateway.errors import GatewayError
from gateway.kiosks import registry
from gateway.loop import Backoff

logger = logging.getLogger(__name__)

READY_S = 10.0
PORT_FREE_S = 3.0
"""A broker whose gateway was killed ends within milliseconds; it may write its queues first."""

STOP_S = 3.0
SPARE_FILES = 100
"""What the broker opens beside its connections."""
LOOK_S = 0.25
REGISTRY_S = 0.75
CERTIFICATE_S = 3_600.0
STEADY_S = 10.0
"""After living so long, a broker that dies is restarted at once."""

OUTPUT_LINES_PER_MINUTE = 30
_SEARCH = os.defpath + ":/usr/sbin:/usr/local/sbin:/usr/local/bin"


class Broker:
    """mosquitto as a child; `turn` and `end` are to be run by one `gateway.loop.Loop`.

    The kernel ends the child when the thread that started it ends, so all of its life belongs to that thread.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.password = passwords.make_password()
        """The gateway's own, new at each start and nowhere else than here and, as a hash, in the broker's file."""
        self._hash = passwords.make_hash(self.password)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._backoff = Backoff()
        self._registry: registry.RegistryVersion | None = None
        self._registry_due_s = 0.0
        self._certificate_due_s = 0.0
        self._output: deque[str] = deque(maxlen=5)
        self._settled = threading.Event()
        self._problem: GatewayError | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._place.port

    def wait_until_started(self, timeout_s: float) -> None:
        """Wait for the first start.

        Raises:
            GatewayError: it failed, or took longer.
        """
        if not self._settled.wait(timeout_s):
            raise GatewayError(f"the broker did not start within {timeout_s:.0f} s")
        if self._problem is not None:
            raise self._problem

    def turn(self, stop: threading.Event) -> None:
        """Start the broker if it does not run, else look after it for a moment."""
        if self._process is None or self._process.poll() is not None:
            self._mourn(stop)
            if not stop.is_set():
                self._start()
        self._look_after()
        stop.wait(LOOK_S)

    def end(self) -> None:
        """Stop the broker."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _mourn(self, stop: threading.Event) -> None:
        if self._process is None:
            return
        status, self._process = self._process.returncode, None
        last = self._output[-1] if self._output else ""
        logger.warning("the broker ended by itself and is started again", extra={"status": status, "said": last})
        if time.monotonic() - self._started_s < STEADY_S:
            stop.wait(self._backoff.next_s())
        else:
            self._backoff.reset()

    def _start(self) -> None:
        try:
            self._write_files()
            self._wait_for_port()
            self._spawn()
            self._wait_for_answer()
        except GatewayError as error:
            self._problem = self._problem or error
            self._settled.set()
            self.end()
            raise
        self._settled.set()
        logger.info("broker runs", extra={"listen": self._place.listen, "port": self._place.port})

    def _write_files(self) -> None:
        place = self._place
        certificates.ensure(place.tls, place.names, now=datetime.now(UTC))
        text = files.configuration(listen=place.listen, port=place.port, user=place.user.name)
        state.write_atomically(place.folder / files.CONFIGURATION, text.encode("ascii"))
        state.write_atomically(place.folder / files.RULES, files.rules().encode("ascii"))
        self._write_passwords()
        now_s = time.monotonic()
        self._registry_due_s, self._certificate_due_s = now_s + REGISTRY_S, now_s + CERTIFICATE_S

    def _write_passwords(self) -> None:
        # The version first: a kiosk that is added in between is then seen at the next look.
        self._registry = registry.version()
        text = files.passwords(self._hash, registry.credentials())
        state.write_atomically(self._place.folder / files.PASSWORDS, text.encode("ascii"))

    def _look_after(self) -> None:
        now_s = time.monotonic()
        if self._process is None:
            return
        if now_s >= self._registry_due_s:
            self._registry_due_s = now_s + REGISTRY_S
            if registry.version() != self._registry:
                self._write_passwords()
                self._process.send_signal(signal.SIGHUP)
                logger.info("broker told of changed kiosks")
        if now_s >= self._certificate_due_s:
            self._certificate_due_s = now_s + CERTIFICATE_S
            if certificates.ensure(self._place.tls, self._place.names, now=datetime.now(UTC)):
                logger.info("the broker's certificate was renewed; the broker is restarted")
                self.end()

    def _wait_for_port(self) -> None:
        end = time.monotonic() + PORT_FREE_S
        while (held := self._port_problem()) is not None:
            if time.monotonic() > end:
                raise GatewayError(held)
            time.sleep(0.05)

    def _port_problem(self) -> str | None:
        place = self._place
        family = socket.AF_INET6 if ":" in place.listen else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((place.listen, place.port))
            except OSError as error:
                return (
                    f"the broker cannot have port {place.port} on {place.listen}: {error.strerror}; stop the process "
                    "that holds it (perhaps another broker), or set another port under [broker]"
                )
        return None

    def _spawn(self) -> None:
        self._output.clear()
        try:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._place.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": _SEARCH, "LANG": "C"},
            )
        except OSError as error:
            raise GatewayError(f"mosquitto cannot be started: {error.strerror}") from None
        self._started_s = time.monotonic()
        _let_open_files(self._process.pid)
        assert self._process.stderr is not None
        threading.Thread(target=self._relay, args=(self._process.stderr,), name="broker output", daemon=True).start()

    def _command(self) -> list[str]:
        mosquitto = shutil.which("mosquitto", path=_SEARCH)
        if mosquitto is None:
            raise GatewayError("mosquitto is not installed; install it, for example with `apt install mosquitto`")
        command = [mosquitto, "-c", files.CONFIGURATION]
        setpriv = shutil.which("setpriv", path=_SEARCH)
        if setpriv is None:
            return command
        user = self._place.user
        # The kernel forgets the signal when the user changes, so setpriv changes it, not mosquitto.
        drop = ["--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups"]
        return [setpriv, *(drop if self._place.drops_to_user else []), "--pdeathsig", "TERM", *command]

    def _wait_for_answer(self) -> None:
        process = self._process
        assert process is not None
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if process.poll() is not None:
                time.sleep(0.1)  # for the thread that reads what it said
                raise GatewayError(f"mosquitto ended at once: {'; '.join(self._output) or 'it said nothing'}")
            with contextlib.suppress(OSError), socket.create_connection((self._place.dial, self._place.port), 1.0):
                return
            time.sleep(0.01)
        raise GatewayError(f"mosquitto did not answer within {READY_S:.0f} s")

    def _relay(self, stream: IO[bytes]) -> None:
        """Log what the broker says, but not as fast as strangers at its port can make it talk."""
        window_s, lines = time.monotonic(), 0
        with stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").strip()[:500]
                self._output.append(line)
                if time.monotonic() - window_s > 60:
                    window_s, lines = time.monotonic(), 0
                lines += 1
                if lines <= OUTPUT_LINES_PER_MINUTE:
                    # Whoever drops a connection in the middle causes one of these.
                    level = logging.DEBUG if line.startswith("OpenSSL Error") else logging.INFO
                    logger.log(level, "broker says", extra={"said": line})


def _let_open_files(pid: int) -> None:
    """Let the broker have a connection for each kiosk; 1,024 files are what a process may open by default."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files.MAX_CONNECTIONS + SPARE_FILES
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
