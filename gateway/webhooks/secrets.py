"""Endpoint secrets at rest: encrypted with keys that lie in a file beside the database, never in it."""

from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gateway import state
from gateway.errors import GatewayError


class SecretBox:
    """Encrypts with the first key of the file, decrypts with any, so that keys can be exchanged."""

    def __init__(self, keys: MultiFernet, source: str) -> None:
        self._keys = keys
        self._source = source

    def seal(self, secret: str) -> bytes:
        """Return what the database may hold."""
        return self._keys.encrypt(secret.encode("utf-8"))

    def open(self, sealed: bytes) -> str:
        """Return the secret.

        Raises:
            GatewayError: it was encrypted with a key that the file does not hold.
        """
        try:
            return self._keys.decrypt(sealed).decode("utf-8")
        except (InvalidToken, UnicodeDecodeError):
            raise GatewayError(
                f"an endpoint's secret cannot be decrypted with the keys in {self._source}; "
                "restore that file, or remove the endpoint and add it again"
            ) from None


def open_box(state_path: Path, make_key: Callable[[], bytes] = Fernet.generate_key) -> SecretBox:
    """Return the box of this state directory; its key file is made at the first time.

    Raises:
        GatewayError: the key file cannot be read, or holds something else than keys.
    """
    path = state_path / state.ENDPOINT_KEYS
    lines = state.write_once(path, lambda: make_key() + b"\n").split()
    try:
        return SecretBox(MultiFernet([Fernet(line) for line in lines]), str(path))
    except ValueError:
        raise GatewayError(f"{path} is damaged: it must hold one key on each line; restore it from a backup") from None
