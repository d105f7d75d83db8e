"""Broker passwords: made by chance, kept only as the hash that mosquitto's password file takes."""

import base64
import hashlib
import hmac
import secrets

ITERATIONS = 101
"""As `mosquitto_passwd`. Stretching helps weak passwords; these have 256 random bits, and the broker hashes in its
only thread while thousands of kiosks may connect at once."""

SALT_BYTES = 12
HASH_BYTES = 64
PASSWORD_BYTES = 32


def make_password() -> str:
    """Return a new password of 256 random bits, printable."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def make_hash(password: str, salt: bytes | None = None) -> str:
    """Return ``$7$<iterations>$<salt>$<hash>``: PBKDF2 with SHA-512, both parts in base64."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode("utf-8"), salt, ITERATIONS, HASH_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def matches(password: str, stored: str) -> bool:
    """Tell whether ``stored`` was made from ``password``."""
    salt = base64.b64decode(stored.split("$")[3])
    return hmac.compare_digest(make_hash(password, salt), stored)
