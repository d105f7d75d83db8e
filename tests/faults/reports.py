"""What a fast kiosk tells the test: a JSON object a line, each before it can have an effect that a crash could lose."""

import hashlib
import json
import os
import time
from typing import Any

from contract import messages
from contract.messages import Feedback


def words_of(visit: str) -> str:
    """Return what the visitor of this visit says."""
    return f"the words of {visit}"


def report(what: str, **fields: Any) -> None:
    """Tell the test. One write, so that a killed process leaves no half line unless the pipe is full."""
    line = json.dumps({"what": what, "at_ns": time.monotonic_ns(), **fields})
    os.write(1, line.encode() + b"\n")


def report_sent(message: bytes) -> None:
    """Tell that a feedback is about to be sent."""
    feedback = messages.decode(Feedback, message)
    report("sent", visit=feedback.id, sequence=feedback.sequence, message=digest(message))


def digest(message: bytes | None) -> str | None:
    """Return what tells a message from all others."""
    return None if message is None else hashlib.sha256(message).hexdigest()[:16]
