"""Tells the service manager (systemd) that a service is ready, alive, or ends, if the service manager wants to know."""

import contextlib
import os
import socket
from collections.abc import Mapping

SEND_S = 1.0


def notify(text: str) -> None:
    """Send one message such as ``READY=1`` to the service manager; without one nothing happens.

    It waits for `SEND_S` at most: a service must not hang because its manager does.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
        contextlib.suppress(OSError),
    ):
        manager.settimeout(SEND_S)
        manager.sendto(text.encode("utf-8", "replace"), address)


def status(text: str) -> str:
    """Return the message that shows ``text`` as the service's status, on one line."""
    return f"STATUS={' '.join(text.split())}"


def watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """Return after how many seconds without ``WATCHDOG=1`` the service is restarted; None if it is not watched."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        period_s = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return period_s if period_s > 0 else None
