"""The MQTT topics of one kiosk, below ``voiseback/v1/kiosks/<kiosk_id>/``.

The root carries the version of the messages; a kiosk reads and writes only below its own id.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

ROOT = "voiseback/v1/kiosks"

KIOSK_ID_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
"""Lower-case letters, digits and inner hyphens, at most 63: also a valid DNS label and MQTT user name."""

_KIOSK_ID = re.compile(KIOSK_ID_PATTERN)


class Channel(StrEnum):
    """What a topic below a kiosk's id is for."""

    FEEDBACK = "feedback"
    REPLY = "reply"
    RECEIPT = "receipt"
    STATUS = "status"
    HEALTH = "health"


class TopicError(ValueError):
    """A topic or a kiosk id that is not of this contract."""


@dataclass(frozen=True, slots=True)
class KioskTopic:
    """One topic, taken apart."""

    kiosk: str
    channel: Channel

    def __str__(self) -> str:
        """Return the topic as MQTT carries it."""
        return f"{ROOT}/{self.kiosk}/{self.channel}"


def is_kiosk_id(text: str) -> bool:
    """Tell whether ``text`` may be the id of a kiosk."""
    return _KIOSK_ID.match(text) is not None and "\n" not in text


def topic(kiosk: str, channel: Channel) -> str:
    """Return the topic of ``channel`` for ``kiosk``.

    Raises:
        TopicError: ``kiosk`` is no kiosk id (it could reach another kiosk's topics).
    """
    if not is_kiosk_id(kiosk):
        raise TopicError(f"{kiosk!r} is no kiosk id: use lower-case letters, digits and inner hyphens, at most 63")
    return str(KioskTopic(kiosk, channel))


def every_kiosk(channel: Channel) -> str:
    """Return the filter that matches ``channel`` of every kiosk."""
    return f"{ROOT}/+/{channel}"


def parse(text: str) -> KioskTopic:
    """Take a topic apart.

    Raises:
        TopicError: the topic is not one of this contract.
    """
    prefix, _, rest = text.partition(f"{ROOT}/")
    kiosk, _, channel = rest.partition("/")
    if prefix or not is_kiosk_id(kiosk) or channel not in set(Channel):
        raise TopicError(f"{text[:200]!r} is no topic of this contract: expected {ROOT}/<kiosk_id>/<channel>")
    return KioskTopic(kiosk, Channel(channel))
