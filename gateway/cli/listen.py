"""``kiosk-gateway listen``: receive webhooks on this machine and see what they hold and whether they verify."""

import argparse
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from gateway.listener import Inbox, Listener, Webhook

SECRET_VARIABLE = "VOISEBACK_WEBHOOK_SECRET"  # noqa: S105 - the variable's name

_MAX_SECRET_FILE_BYTES = 4096


class ListenError(Exception):
    """Why nothing can be received; one sentence for the user."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``listen`` command."""
    parser = subparsers.add_parser(
        "listen",
        help="receive webhooks on this machine and show whether they verify",
        description="Receive webhooks on this machine, and show what each holds and whether it verifies.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="the port; 0, the default, picks a free one")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, metavar="FILE", help="a file that holds the webhook secret")
    secret.add_argument(
        "--secret", help=f"the webhook secret; other users can see it: prefer --secret-file or {SECRET_VARIABLE}"
    )
    parser.add_argument("--status", type=_status, help="answer every webhook with this code, to see the retries")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each webhook")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Listen until Ctrl-C or SIGTERM; return the exit status."""
    stop = threading.Event()
    try:
        inbox = Inbox(_secret(args), args.status)
        listener = _open(inbox, _Printer(as_json=args.json, on_broken_pipe=stop.set), args.host, args.port)
    except ListenError as error:
        print(f"kiosk-gateway listen: {error}", file=sys.stderr)
        return 1
    before = [signal.signal(number, _setting(stop)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with listener:
            first = json.dumps({"listening": listener.url}, separators=(",", ":"))
            print(first if args.json else f"listening on {listener.url} (Ctrl-C ends)", flush=True)
            stop.wait()
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    return 0


def printable(text: str, *, keep: str = "") -> str:
    """Return ``text`` with everything escaped that could steer a terminal or reorder a line, except ``keep``."""
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def describe(webhook: Webhook) -> str:
    """Return a webhook for a reader: one headline, then the body."""
    headline = [
        webhook.received_at.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z"),
        webhook.event or "no event",
        f"feedback {webhook.feedback or 'unknown'}",
        f"Webhook-Id {webhook.webhook_id or 'missing'}",
        *(["REPETITION of a Webhook-Id received before"] if webhook.repeated else []),
        f"answered {webhook.status}",
        webhook.verdict,
    ]
    body = "\n".join(f"    {line}" for line in printable(_pretty(webhook.body), keep="\n").splitlines())
    return f"{printable('  '.join(headline))}\n{body}"


def as_line(webhook: Webhook) -> str:
    """Return a webhook for a program: one line of ASCII JSON, safe for a terminal too."""
    return json.dumps(
        {
            "received_at": webhook.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "webhook_id": webhook.webhook_id,
            "event": webhook.event,
            "feedback": webhook.feedback,
            "verified": webhook.verified,
            "reason": webhook.reason,
            "repeated": webhook.repeated,
            "body": webhook.body,
            "headers": webhook.headers,
        },
        separators=(",", ":"),
    )


class _Printer:
    """Prints each webhook; a reader that went away ends the program, as with any other command in a pipe."""

    def __init__(self, *, as_json: bool, on_broken_pipe: Callable[[], None]) -> None:
        self._as_json = as_json
        self._on_broken_pipe = on_broken_pipe

    def __call__(self, webhook: Webhook) -> None:
        text = as_line(webhook) if self._as_json else describe(webhook)
        encoding = sys.stdout.encoding or "utf-8"
        try:
            print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        except BrokenPipeError:
            # Python flushes standard output once more as it ends, and would complain there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._on_broken_pipe()


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _open(inbox: Inbox, report: Callable[[Webhook], None], host: str, port: int) -> Listener:
    try:
        return Listener(inbox, report, host=host, port=port)
    except UnicodeError:
        raise ListenError(f"{host!r} is no address and no name of a machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ListenError(f"port {port} on {host} is in use: choose another with --port") from None
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def _secret(args: argparse.Namespace) -> str | None:
    if args.secret is not None:
        print(
            "kiosk-gateway listen: warning: other users of this machine can see --secret; "
            f"use --secret-file or the environment variable {SECRET_VARIABLE}",
            file=sys.stderr,
        )
        return _checked(args.secret, "--secret")
    if args.secret_file is not None:
        return _checked(_read(args.secret_file), str(args.secret_file))
    given = os.environ.get(SECRET_VARIABLE)
    return _checked(given, SECRET_VARIABLE) if given else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_FILE_BYTES + 1)
        if len(content) > _MAX_SECRET_FILE_BYTES:
            raise ListenError(f"{path}: has more than {_MAX_SECRET_FILE_BYTES} bytes, which is no webhook secret")
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ListenError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ListenError(f"{path}: is no UTF-8 text") from None


def _checked(secret: str, where: str) -> str:
    if not secret or secret != secret.strip() or not secret.isprintable():
        raise ListenError(
            f"{where}: the secret is empty, begins or ends with a blank, or holds a control character: paste it again"
        )
    return secret


def _setting(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return set_stop


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 3 and 200 <= int(text) <= 599):
        raise argparse.ArgumentTypeError(f"{text!r} is no status code: give a number from 200 to 599")
    return int(text)
