"""Tells systemd that the gateway is ready and alive, if systemd wants to know."""

import contextlib
import os
import socket


def notify(text: str) -> None:
    """Send one message such as ``READY=1`` to the service manager; without one nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
        contextlib.suppress(OSError),
    ):
        manager.sendto(text.encode("utf-8"), address)
