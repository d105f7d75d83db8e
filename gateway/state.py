"""The state directory: made for the gateway alone, locked by one running gateway, written atomically."""

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.errors import GatewayError

FOLDER_MODE = 0o700
FILE_MODE = 0o600

DATABASE = "gateway.sqlite3"
LOCK = "run.lock"
SECRET_KEY = "secret_key"  # noqa: S105 (the name of a file)
ENDPOINT_KEYS = "endpoint_keys"


def prepare(folder: Path, *, database: bool = True) -> None:
    """Make ``folder`` (and what is missing above it) so that only its owner can enter.

    Args:
        folder: the state directory.
        database: whether the database is a file in it.

    Raises:
        GatewayError: it cannot be made or written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
            hand_to_owner_of(folder.parent, folder)
        if folder.stat().st_mode & 0o022:
            raise GatewayError(f"the state directory {folder} can be written by others; chmod it to 700")
        with tempfile.TemporaryFile(dir=folder):
            pass
        if database:
            _make_database_file(folder)
    except OSError as error:
        raise GatewayError(
            f"the state directory {folder} cannot be used: {error.strerror}; "
            "name another as state_dir, or make it writable for this user"
        ) from None


def _make_database_file(folder: Path) -> None:
    # Here rather than by SQLite, so that it belongs to the folder's owner even if root is the first to come.
    path = folder / DATABASE
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        hand_to_owner_of(folder, path)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, readable by its owner alone; a power cut leaves the old or the new, never a part.

    A file that root writes belongs to the folder's owner, so that a command run by root does not lock the gateway out.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        hand_to_owner_of(path.parent, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the content of ``path``, which is made first if it is missing; of two that make it, one wins.

    Raises:
        GatewayError: it cannot be read or made, or is empty.
    """
    try:
        if not path.exists():
            _publish_once(path, make())
        data = path.read_bytes()
    except OSError as error:
        raise GatewayError(f"{path} cannot be read or written: {error.strerror}") from None
    if not data:
        raise GatewayError(f"{path} is empty; restore it from a backup")
    return data


def _publish_once(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_atomically(draft, data)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder below the state directory, if it is missing, for its owner alone.

    Raises:
        OSError: it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=FOLDER_MODE)
        hand_to_owner_of(folder.parent, folder)


@contextlib.contextmanager
def turn_of(folder: Path) -> Iterator[None]:
    """Wait until no other process is within; for what two processes might make at the same time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the state directory, as the one gateway that runs on it.

    Raises:
        GatewayError: another one runs on it.
    """
    path = folder / LOCK
    with path.open("ab") as file:
        hand_to_owner_of(folder, path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GatewayError(f"another gateway runs on {folder}; stop it first, or name another state_dir") from None
        yield


def hand_to_owner_of(folder: Path, path: Path) -> None:
    """Give ``path`` to whom ``folder`` belongs, if root made it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
