"""The file by which a kiosk is admitted to a gateway's broker: TOML, mode 0600, written by the gateway's command."""

import json
import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from contract import settings_file
from contract.messages import KioskId

FILE_MODE = 0o600

HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:%-]+\Z", max_length=253)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Secret = Annotated[str, Meta(pattern=r"^[\x21-\x7e]+\Z", min_length=16, max_length=200)]
Pem = Annotated[
    str,
    Meta(pattern=r"^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n?\Z", max_length=16_384),
]


class BrokerCredentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a kiosk connects, as whom, and whose signature it believes. Holds a secret: never log it."""

    kiosk_id: KioskId
    host: HostName
    """A name or address that the broker's certificate carries."""
    port: Port
    username: KioskId
    password: Secret
    ca_certificate: Pem
    """The only authority whose signature on the broker's certificate is believed."""

    def __repr__(self) -> str:
        """Leave the password out, so that no log or traceback shows it."""
        return f"BrokerCredentials(kiosk_id={self.kiosk_id!r}, host={self.host!r}, port={self.port})"


def load(path: Path) -> BrokerCredentials:
    """Read the credentials.

    Raises:
        contract.settings_file.SettingsError: the file is missing, unreadable, or holds something else.
    """
    return settings_file.load(path, BrokerCredentials)


def write(path: Path, credentials: BrokerCredentials) -> None:
    """Write the credentials into a new file that only its owner can read, safe against a power cut.

    Raises:
        FileExistsError: ``path`` exists already; it is left as it is.
        OSError: it cannot be written; nothing of it is left behind.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(render(credentials).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def render(credentials: BrokerCredentials) -> str:
    """Return the credentials as TOML."""
    lines = ["# Admits one kiosk to its gateway's broker. Keep it secret: whoever has it can speak for the kiosk."]
    for key, value in msgspec.structs.asdict(credentials).items():
        if isinstance(value, int):
            lines.append(f"{key} = {value}")
        elif "\n" in value:
            lines.append(f'{key} = """\n{value}"""')
        else:
            # For printable ASCII a JSON string is a TOML basic string.
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
