"""A mosquitto that the gateway did not start, as an operator would run one for several gateway processes."""

import os
import shutil
import signal
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from contract import credentials
from contract.credentials import BrokerCredentials
from gateway import state
from gateway.broker import certificates, files, passwords
from gateway.broker.certificates import TlsFiles
from tests.gateway.support import wait_until

PASSWORD = "the unmistakable password of the broker"


class ExternalBroker:
    """Use it as a context: leaving stops it."""

    def __init__(self, folder: Path, *, more: str = "") -> None:
        self.folder = folder / "external"
        state.make_folder(self.folder)
        self._tls = TlsFiles.below(folder, self.folder)
        certificates.ensure(self._tls, ["127.0.0.1"], now=datetime.now(UTC))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.password_file = self.folder / "gateway.password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self._kiosks: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        text = files.configuration(listen="127.0.0.1", port=self.port, user="root" if os.geteuid() == 0 else "nobody")
        # Several processes of the gateway have one user name and must not take each other's place.
        text = text.replace("use_username_as_clientid true\n", "").replace("persistence true\n", "persistence false\n")
        (self.folder / "mosquitto.conf").write_text(text + more)
        (self.folder / files.RULES).write_text(files.rules())
        self._write_passwords()

    @property
    def settings(self) -> str:
        """The table of the gateway's settings that names this broker."""
        return (
            f'[broker.external]\nhost = "127.0.0.1"\nport = {self.port}\nusername = "{files.GATEWAY_USER}"\n'
            f'password_file = "{self.password_file}"\nca_file = "{self._tls.authority}"\n'
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-c", "mosquitto.conf"], cwd=self.folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        wait_until(answers)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def admit(self, file: Path) -> BrokerCredentials:
        """Make the user of a kiosk from the credentials that `kiosk-gateway kiosk add` wrote."""
        made = credentials.load(file)
        self._kiosks[made.username] = passwords.make_hash(made.password)
        self._write_passwords()
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)
        return made

    def _write_passwords(self) -> None:
        text = files.passwords(passwords.make_hash(PASSWORD), self._kiosks)
        (self.folder / files.PASSWORDS).write_text(text)
