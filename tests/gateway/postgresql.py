"""A PostgreSQL server of the tests' own: in a temporary folder, at a free port, ended with them."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.core.management import call_command
from django.db import connections

from gateway import database_url
from gateway.configuration import DatabaseSettings

PROGRAMS = Path("/usr/lib/postgresql")
PASSWORD = "the unmistakable password of the database"
START_S = 30


class PostgresServer:
    """The server's process, and databases in it.

    Use it as a context: leaving stops it and removes its folder.

    Args:
        durable: whether a commit reaches the disk, as in production; without, tests are quicker.
    """

    def __init__(self, *, durable: bool = False) -> None:
        # Not in pytest's folder, into which only its own user can look.
        self._temporary = tempfile.TemporaryDirectory(prefix="voiseback-postgresql-")
        self._folder = Path(self._temporary.name)
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self.password_file = self._folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder.chmod(0o755)
        self._home = self._folder / "postgresql"
        self._home.mkdir()
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (self._home, self.password_file):
                os.chown(path, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        self.password_file.chmod(0o600)
        self._run(
            "initdb", "-D", "data", "-U", "gateway", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
            "--auth-host=scram-sha-256", "--auth-local=trust", f"--pwfile={self.password_file}",
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._temporary.cleanup()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        durability = [] if self._durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        command = [*self._command("postgres"), "-D", "data", "-p", str(self.port), "-k", str(self._home), *durability]
        # `pdeathsig` ends it with the tests, however they end.
        guarded = ["setpriv", *self._as_user[1:], "--pdeathsig", "QUIT", *command]
        log = (self._folder / "postgresql.log").open("ab")
        with log:
            self._process = subprocess.Popen(guarded, cwd=self._home, stdout=log, stderr=log)
        self._run("pg_isready", "-q", "-h", str(self._home), "-p", str(self.port), wait_s=START_S)

    def stop(self, *, kill: bool = False) -> None:
        """End it; with ``kill`` at once, as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill() if kill else process.send_signal(2)
            process.wait()

    def url(self, name: str) -> str:
        """Return the URL of a database, made new and empty."""
        self._run("createdb", "-h", str(self._home), "-p", str(self.port), "-U", "gateway", name)
        return f"postgresql://gateway@127.0.0.1:{self.port}/{name}"

    def settings(self, name: str) -> DatabaseSettings:
        """Return the gateway's settings for a database, made new and empty."""
        return DatabaseSettings(url=self.url(name), password_file=str(self.password_file))

    def query(self, name: str, statement: str) -> list[list[str]]:
        """Return what ``psql`` says to one statement, as rows of texts."""
        done = self._run(
            "psql", "-h", str(self._home), "-p", str(self.port), "-U", "gateway", "-d", name, "-XAtq", "-c", statement
        )
        return [line.split("|") for line in done.splitlines()]

    def _command(self, program: str) -> list[str]:
        newest = max(PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
        found = shutil.which(program, path=str(newest))
        assert found is not None, "PostgreSQL is not installed; `scripts/prepare test` installs it"
        return [found]

    def _run(self, program: str, *arguments: str, wait_s: int = 0) -> str:
        command = [*self._as_user, *self._command(program), *arguments]
        while True:
            done = subprocess.run(command, cwd=self._home, capture_output=True, text=True, check=False, timeout=60)
            if done.returncode == 0:
                return done.stdout
            wait_s -= 1
            assert wait_s >= 0, f"{program}: {done.stderr}"
            subprocess.run(["sleep", "0.1"], check=True)


def migrate(settings: DatabaseSettings) -> None:
    """Make the tables."""
    with connected_to(settings):
        call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def connected_to(settings: DatabaseSettings) -> Iterator[None]:
    """Let Django's only connection lead to another database, in this thread and in those that start meanwhile."""
    before, own = connections.databases["default"], connections["default"]
    parameters: dict[str, Any] = {**before, "TIME_ZONE": None, **database_url.parameters(settings)}
    parameters["TEST"] = before["TEST"]
    connections.databases["default"] = parameters
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections.databases["default"] = before
        connections["default"] = own
