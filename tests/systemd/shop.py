"""A shop on one machine: gateway and kiosk as their units, with a simulated microphone and a virtual panel."""

import contextlib
import json
import shutil
import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.happenings import Happenings
from demo.microphone import build
from demo.process import Process
from tests.systemd import product
from tests.systemd.debian import base
from tests.systemd.machine import Machine, fresh_copy, until
from tests.systemd.service import Service

KIOSK_ID = "front-door"
GATEWAY_PROGRAM = "/opt/voiseback-gateway/bin/kiosk-gateway"
KIOSK_PROGRAM = "/opt/voiseback-kiosk/bin/kiosk"
CREDENTIALS = "/etc/voiseback/credentials.toml"

_SIMULATION = "/opt/simulation"
_MICROPHONE = "/var/lib/simulated-microphone"
_PANEL = "/var/lib/simulated-panel"
_PROBE_LINE = "sandbox probe: "
_START_S = 20.0
VISIT_S = 30.0
STORED_S = 120.0
"""A kiosk that could not reach the gateway for a while does not try again at once."""

_KIOSK_SETTINGS = f"""\
[panel]
port = "{_PANEL}/panel"
[audio]
device = "mic"
[visit]
thanks_s = 1.0
[clock]
patience_s = 0
"""
_GATEWAY_SETTINGS = """\
[broker]
hosts = ["localhost"]
listen = "127.0.0.1"
"""
# A real microphone is a device; this one is a file and a library, so the sandbox has to know of them.
_MICROPHONE_DROP_IN = f"""\
[Service]
Environment=ALSA_CONFIG_PATH={_MICROPHONE}/asoundrc
ReadWritePaths={_MICROPHONE}
"""


class Shop:
    """A context: the machine is booted with both units enabled, and without credentials for the kiosk yet."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._logs = cache / "logs"
        self._stack = ExitStack()
        self.happenings = Happenings()
        self.machine = Machine(cache / "root", self._logs / "console.log")
        self.gateway = Service(self.machine, "gateway")
        self.kiosk = Service(self.machine, "kiosk")
        self._microphone: Process | None = None
        self._panel: Process | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self._logs, ignore_errors=True)
        self._logs.mkdir(parents=True)
        root = fresh_copy(base(self._cache), self.machine.root)
        product.check_python(root)
        product.install(root, self._cache)
        self._furnish(root)
        with self._stack as stack:
            stack.enter_context(self.machine)
            self._microphone = self._start_microphone(stack)
            self._panel = self._start_panel(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._keep_journal()

    def admit_kiosk(self) -> None:
        """Let the gateway write the kiosk's credentials, by its own command, where the kiosk looks for them."""
        self.machine.run(GATEWAY_PROGRAM, "kiosk", "add", KIOSK_ID, "--credentials", CREDENTIALS)

    def wait_for_scene(self, scene: str, since: int, within_s: float = VISIT_S) -> float:
        """Wait until the panel shows a scene, and return when, in seconds since boot."""
        return float(self.happenings.wait_for("panel", "scene", scene=scene, since=since, timeout_s=within_s).at)

    def visit(self, wav: Path) -> str:
        """Press, speak and be thanked; return what the gateway has stored as the words of it."""
        assert self._panel is not None
        assert self._microphone is not None
        known = {row[0] for row in self.feedback()}
        mark = len(self.happenings)
        self._panel.write("tap record 80")
        self.wait_for_scene("recording", mark)
        self._microphone.write(f"{_SIMULATION}/demo/speech/{wav.name}")
        self.wait_for_scene("thanks", mark)
        return until(
            lambda: next((words for number, words in self.feedback() if number not in known), None),
            STORED_S,
            "the feedback at the gateway",
        )

    def feedback(self) -> list[tuple[str, str]]:
        """Return the feedback that the gateway has: ids and words."""
        path = self.machine.root / "var/lib/voiseback-gateway/gateway.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute("SELECT id, transcript FROM feedback_feedback").fetchall()

    def waiting(self) -> int:
        """Return how many records the kiosk has that the gateway has not confirmed."""
        return len(self.machine.run(KIOSK_PROGRAM, "spool", "list", "--json").splitlines())

    def probe(self, service: Service, other: Service) -> dict[str, bool]:
        """Try from inside a service's sandbox what it should and should not be able to do; it is restarted for it."""
        probe = f"{_SIMULATION}/sandbox_probe.py"
        python = f"/opt/{service.name}/bin/python3"
        drop_in = self.machine.root / f"etc/systemd/system/{service.name}.service.d/probe.conf"
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text(
            f"[Service]\nExecStartPre={python} {probe} '{_PROBE_LINE}' /var/lib/{service.name} /var/lib/{other.name}\n"
        )
        try:
            self.machine.run("systemctl", "daemon-reload")
            self.machine.run("systemctl", "restart", service.name)
        finally:
            drop_in.unlink()
            self.machine.run("systemctl", "daemon-reload")
        service.wait_until_ready(_START_S)
        found: dict[str, bool] = json.loads(service.said(_PROBE_LINE)[-1]["MESSAGE"].removeprefix(_PROBE_LINE))
        return found

    def _furnish(self, root: Path) -> None:
        """Write the settings, and what stands in for hardware."""
        (root / "etc/voiseback").mkdir(exist_ok=True)
        (root / "etc/voiseback/kiosk.toml").write_text(_KIOSK_SETTINGS, encoding="utf-8")
        (root / "etc/voiseback/gateway.toml").write_text(_GATEWAY_SETTINGS, encoding="utf-8")
        drop_ins = root / "etc/systemd/system/voiseback-kiosk.service.d"
        drop_ins.mkdir()
        (drop_ins / "microphone.conf").write_text(_MICROPHONE_DROP_IN, encoding="utf-8")
        (root / _MICROPHONE.lstrip("/")).mkdir()
        simulation = root / _SIMULATION.lstrip("/")
        demo = product.REPOSITORY / "demo"
        shutil.copytree(demo / "microphone", simulation / "demo" / "microphone")
        shutil.copytree(demo / "speech", simulation / "demo" / "speech")
        (simulation / "demo" / "__init__.py").touch()
        here = Path(__file__).parent
        for name in ("simulated_microphone.py", "sandbox_probe.py"):
            shutil.copyfile(here / name, simulation / name)
        build(simulation / "build")

    def _start_microphone(self, stack: ExitStack) -> Process:
        plugged = threading.Event()
        microphone = self.machine.start(
            *("env", f"PYTHONPATH={_SIMULATION}", "python3", f"{_SIMULATION}/simulated_microphone.py"),
            *(_MICROPHONE, f"{_SIMULATION}/build"),
            log=self._logs / "microphone.log",
            on_line=lambda line: plugged.set() if line == "plugged" else None,
        )
        stack.callback(microphone.stop)
        until(plugged.is_set, _START_S, "the simulated microphone")
        return microphone

    def _start_panel(self, stack: ExitStack) -> Process:
        user = self.kiosk.name
        self.machine.run("install", "--directory", f"--owner={user}", _PANEL)
        panel = self.machine.start(
            # By the kiosk's user: the terminal that stands in for the serial port belongs to whoever makes it.
            *("setpriv", "--reuid", user, "--regid", user, "--init-groups"),
            *(KIOSK_PROGRAM, "panel", "virtual", "--link", f"{_PANEL}/panel"),
            log=self._logs / "panel.log",
            on_line=self._panel_line,
        )
        stack.callback(panel.stop)
        self.happenings.wait_for("panel", "plugged", timeout_s=_START_S)
        return panel

    def _panel_line(self, line: str) -> None:
        fields = json.loads(line)
        self.happenings.add("panel", fields.pop("event"), fields.pop("at_s", time.monotonic()), **fields)

    def _keep_journal(self) -> None:
        (self._logs / "journal.txt").write_text(self.machine.run("journalctl", "--output=short-precise"))
