"""Django's settings, made from the gateway's.

Without a configuration, as for the type checker and the tests, the database lives in memory and the key for one run.
"""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from gateway import configuration, database_url, state

_gateway = configuration.active()

BUSY_TIMEOUT_S = 20
"""How long one writer waits for another; a batch of the ingest takes some milliseconds."""


def _secret_key() -> str:
    if _gateway is None:
        return secrets.token_urlsafe(48)
    made = state.write_once(_gateway.state_path / state.SECRET_KEY, lambda: secrets.token_urlsafe(48).encode("ascii"))
    return made.decode("ascii", "replace")


def _database() -> dict[str, Any]:
    if _gateway is not None and _gateway.database.url is not None:
        return database_url.parameters(_gateway.database)
    throwaway = Path(tempfile.gettempdir()) / f"voiseback-gateway-test-{os.getpid()}.sqlite3"
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:" if _gateway is None else str(_gateway.state_path / state.DATABASE),
        "OPTIONS": {
            # A receipt promises that the feedback survives a power cut: WAL with NORMAL loses acknowledged rows.
            # What is erased or past its time must not stay in the file's free pages.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
            # Deferred transactions fail at once, without waiting, when they turn from reading to writing.
            "transaction_mode": "IMMEDIATE",
            "timeout": BUSY_TIMEOUT_S,
        },
        "TEST": {"NAME": str(throwaway)},
    }


SECRET_KEY = _secret_key()
DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["gateway.kiosks", "gateway.feedback", "gateway.analysis", "gateway.webhooks"]
USE_TZ = True
TIME_ZONE = "UTC"
# The gateway sets its own logging up.
LOGGING_CONFIG = None
