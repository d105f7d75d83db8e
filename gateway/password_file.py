"""Passwords that a settings file names by the file which holds them."""

from pathlib import Path

from gateway.errors import GatewayError

MAX_BYTES = 4_096


def read(name: str, key: str) -> str:
    """Return the password in the file ``name``, without the line break that an editor put at its end.

    Args:
        name: the file.
        key: what the settings call it, for the message.

    Raises:
        GatewayError: the file cannot be read, or does not hold one password.
    """
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        password = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise GatewayError(f"{key} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GatewayError(f"{key} {path} is no UTF-8 text") from None
    if not password or len(content) > MAX_BYTES or "\n" in password or "\0" in password:
        raise GatewayError(f"{key} {path} must hold one password, on one line")
    return password
