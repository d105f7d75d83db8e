"""What a status message changes about a kiosk."""

from dataclasses import dataclass, replace

from contract.messages import Status


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of one kiosk's connection."""

    online: bool
    session: int
    agent_version: str
    address: str


def step(known: Presence, status: Status) -> Presence:
    """Return what is known after ``status``.

    The will of an older connection can come after the kiosk has connected anew; it changes nothing. An online status
    is believed whatever its number, because a kiosk that was installed anew counts from the beginning.
    """
    if status.state == "offline":
        return known if status.session < known.session else replace(known, online=False, session=status.session)
    return Presence(
        online=True,
        session=status.session,
        agent_version=status.agent_version,
        address=status.address or "",
    )
