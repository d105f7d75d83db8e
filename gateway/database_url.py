"""The URL of a PostgreSQL database, as Django wants to be told of it."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway import password_file
from gateway.configuration import DatabaseSettings

KEY = "the database's password_file"

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
    named = settings.password_file
    password = "" if named is None else password_file.read(named, KEY)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": password,
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
