"""The URL of a PostgreSQL database, as Django wants to be told of it."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.configuration import DatabaseSettings
from gateway.errors import GatewayError

MAX_PASSWORD_BYTES = 4_096

_OPTIONS: dict[str, str | int] = {
    "application_name": "voiseback-gateway",
    "connect_timeout": 10,
    # A database whose machine is gone says nothing: without these a thread would wait for it for hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SESSION = (
    # A receipt promises that the feedback survives a power cut, whatever the server's default is.
    "-c synchronous_commit=on",
    # A worker that hangs with a lock must not hold the others up for ever.
    "-c lock_timeout=20s",
    "-c idle_in_transaction_session_timeout=120s",
)


def parameters(settings: DatabaseSettings) -> dict[str, Any]:
    """Return Django's settings of the database at ``settings.url``; what the URL says goes before the defaults.

    Raises:
        GatewayError: the password's file cannot be read.
    """
    assert settings.url is not None
    parts = urlsplit(settings.url)
    query = dict(parse_qsl(parts.query))
    options: dict[str, str | int] = {**_OPTIONS, "options": " ".join(_SESSION), **query}
    host = str(options.pop("host", parts.hostname or ""))
    port = str(options.pop("port", parts.port or ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": "" if settings.password_file is None else _read_password(Path(settings.password_file)),
        "HOST": unquote(host),
        "PORT": port,
        "CONN_MAX_AGE": None,
        "OPTIONS": options,
    }


def told(url: str) -> str:
    """Return where the database is, for people: without user and options."""
    parts = urlsplit(url)
    host = dict(parse_qsl(parts.query)).get("host") or parts.hostname or "this machine"
    return f"{parts.path.strip('/')} on {unquote(host)}"


def _read_password(path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAX_PASSWORD_BYTES + 1)
        password = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise GatewayError(f"the database's password_file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GatewayError(f"the database's password_file {path} is no UTF-8 text") from None
    if not password or len(content) > MAX_PASSWORD_BYTES:
        raise GatewayError(f"the database's password_file {path} must hold one password")
    return password
