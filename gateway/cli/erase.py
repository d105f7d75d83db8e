"""`kiosk-gateway erase`: takes what somebody said or left out of everything that the gateway keeps."""

import argparse
import sys
from datetime import UTC, datetime

from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError, UsageError

STANDARD_INPUT = "-"
MAX_ADDRESS_CHARS = 254


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``erase`` command."""
    parser = subparsers.add_parser("erase", help="erase a feedback, or everything with an e-mail address")
    session.add_config_option(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--feedback", metavar="ID", help="a feedback's id")
    what.add_argument("--email", metavar="ADDRESS", help="an e-mail address; - reads it from standard input")
    parser.set_defaults(run=session.on_database(run))


def run(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Erase, and say what was erased and who may have a copy."""
    from gateway import erasure

    now = datetime.now(UTC)
    if args.feedback is not None:
        report = erasure.erase_feedback([session.feedback_id(args.feedback)], now=now)
    else:
        report = erasure.erase_address(_address(args.email), now=now)
    final = erasure.make_final()
    if report.is_empty:
        print("nothing was found")
    else:
        print(
            f"erased: {report.feedback} feedback, {report.replies} replies, {report.deliveries} deliveries with their "
            f"attempts, {report.quarantined} quarantined messages"
        )
    if args.feedback is not None:
        print("if the feedback is still on a kiosk and comes in, it is not stored, and the kiosk deletes it")
    for copy in report.copies:
        print(f"{copy.endpoint} may have a copy: feedback {copy.feedback}, Webhook-Id {copy.webhook_id}")
    if not final:
        raise GatewayError(
            "it is erased from the tables, but the write-ahead log is in use and may still hold it; run this again"
        )
    return 0


def _address(text: str) -> str:
    address = sys.stdin.readline().strip() if text == STANDARD_INPUT else text.strip()
    if "@" not in address or len(address) > MAX_ADDRESS_CHARS:
        raise UsageError("that is no e-mail address")
    return address
