"""Where the broker lives: its folder, its port, its user, the names in its certificate."""

import ipaddress
import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

from gateway import state
from gateway.broker import files
from gateway.broker.certificates import TlsFiles
from gateway.configuration import BrokerSettings, GatewaySettings
from gateway.errors import GatewayError

BROKER_USERS = ("mosquitto", "nobody")


@dataclass(frozen=True, slots=True)
class User:
    """An account of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Everything about the broker that does not change while it runs."""

    folder: Path
    port: int
    listen: str
    dial: str
    """Where the gateway itself reaches it."""
    names: tuple[str, ...]
    tls: TlsFiles
    user: User
    drops_to_user: bool
    """Whether the gateway is root and the broker is not to be."""


def settle(settings: GatewaySettings) -> Place:
    """Make the broker's folder and choose what is to be chosen, once.

    Raises:
        GatewayError: a file cannot be read or written.
    """
    folder = settings.state_path / "broker"
    user = _user(settings.state_path)
    drops = user.uid != os.geteuid()
    try:
        for each in (folder, folder / files.DATA):
            state.make_folder(each)
            if drops:
                os.chown(each, user.uid, user.gid)
    except OSError as error:
        raise GatewayError(f"the broker's folder {folder} cannot be made: {error.strerror}") from None
    dial = _dial(settings.broker.listen)
    names = (*settings.broker.names, "localhost", "127.0.0.1", "::1", dial)
    return Place(
        folder=folder,
        port=_port(settings.broker, folder),
        listen=settings.broker.listen,
        dial=dial,
        names=tuple(dict.fromkeys(names)),
        tls=TlsFiles.below(settings.state_path, folder),
        user=user,
        drops_to_user=drops,
    )


def _user(state_path: Path) -> User:
    """Return who the broker is to be: the gateway's own user, but never root."""
    if os.geteuid() != 0:
        return User(_name_of(os.geteuid()), os.geteuid(), os.getegid())
    owner = state_path.stat()
    if owner.st_uid != 0:
        # Root works on the state directory of a gateway that runs as somebody else.
        return User(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in BROKER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise GatewayError("there is no user mosquitto to run the broker as; install the package mosquitto")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _dial(listen: str) -> str:
    address = ipaddress.ip_address(listen)
    if not address.is_unspecified:
        return listen
    return "127.0.0.1" if address.version == 4 else "::1"


def _port(settings: BrokerSettings, folder: Path) -> int:
    if settings.port:
        return settings.port
    path = folder / "port"
    written = state.write_once(path, lambda: str(_free_port(settings.listen)).encode("ascii"))
    try:
        port = int(written)
    except ValueError:
        raise GatewayError(f"{path} is damaged: it must hold the broker's port as a number") from None
    if not 1 <= port <= 65_535:
        raise GatewayError(f"{path} is damaged: {port} is no port")
    return port


def _free_port(listen: str) -> int:
    family = socket.AF_INET if ipaddress.ip_address(listen).version == 4 else socket.AF_INET6
    with socket.socket(family) as probe:
        probe.bind((listen, 0))
        return int(probe.getsockname()[1])
