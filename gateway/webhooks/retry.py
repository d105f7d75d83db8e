"""What follows from one attempt. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

JITTER_SHARE = 0.1
MAX_JITTER_S = 900.0

MAX_RETRY_AFTER_S = 86_400.0
"""The longest wait that a receiver may ask for; it may never shorten ours."""

GONE = 410


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Exhausted:
    """That was the last attempt."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants no more webhooks at all."""


Decision = Accepted | RetryAfter | Exhausted | Gone


def decide(
    *,
    status: int | None,
    failed: bool,
    number: int,
    delays_s: Sequence[float],
    retry_after_s: float | None,
    chance: float,
) -> Decision:
    """Decide what follows.

    Args:
        status: the receiver's answer, None if there was none.
        failed: something else went wrong, such as a deadline; then the status does not count.
        number: of the attempt in this round of the schedule, from 1.
        delays_s: the wait before each repetition.
        retry_after_s: the wait that the receiver asks for.
        chance: from 0 to 1; how much of the jitter is added. Jitter only ever adds.
    """
    if not failed and status is not None and 200 <= status < 300:
        return Accepted()
    if not failed and status == GONE:
        return Gone()
    if number > len(delays_s):
        return Exhausted()
    delay_s = delays_s[number - 1]
    if retry_after_s is not None:
        delay_s = max(delay_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return RetryAfter(delay_s + chance * min(delay_s * JITTER_SHARE, MAX_JITTER_S))
