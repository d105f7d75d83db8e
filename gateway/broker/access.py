"""How the gateway and the kiosks reach the broker, be it the gateway's own or another one."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from gateway import password_file
from gateway.broker import certificates, place
from gateway.broker.files import GATEWAY_USER
from gateway.broker.place import Place
from gateway.configuration import ExternalBrokerSettings, GatewaySettings
from gateway.errors import GatewayError
from gateway.feedback.models import SubscriptionGroup
from gateway.feedback.subscriber import BrokerAccess

PEM_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Door:
    """What a kiosk needs to find the broker and to believe that it is the right one."""

    host: str
    port: int
    ca_certificate: str


def to_own(own: Place, password: str) -> BrokerAccess:
    """Return the gateway's access to the broker that it starts itself."""
    return BrokerAccess(
        host=own.dial,
        port=own.port,
        username=GATEWAY_USER,
        password=password,
        ca=own.tls.authority,
        # One process takes what comes to this broker, so the name need not outlive it.
        group=_new_group(),
    )


def to_external(external: ExternalBrokerSettings, *, now: datetime) -> BrokerAccess:
    """Return the gateway's access to another broker; every process on one database is in the same group.

    Raises:
        GatewayError: the password or the authority's certificate cannot be read.
    """
    _authority(external)
    group, _ = SubscriptionGroup.objects.get_or_create(pk=1, defaults={"name": _new_group(), "made_at": now})
    return BrokerAccess(
        host=external.host,
        port=external.port,
        username=external.username,
        password=password_file.read(external.password_file, "the broker's password_file"),
        ca=Path(external.ca_file).expanduser(),
        group=group.name,
    )


def for_kiosks(settings: GatewaySettings, *, now: datetime) -> Door:
    """Return what is written into a kiosk's credentials; the gateway's own broker gets its certificates by it.

    Raises:
        GatewayError: a file cannot be read or written.
    """
    external = settings.broker.external
    if external is not None:
        return Door(settings.broker.names[0], external.port, _authority(external))
    own = place.settle(settings)
    certificates.ensure(own.tls, own.names, now=now)
    return Door(settings.broker.names[0], own.port, own.tls.authority.read_text("ascii"))


def _authority(external: ExternalBrokerSettings) -> str:
    path = Path(external.ca_file).expanduser()
    try:
        text = path.read_text("ascii")
    except OSError as error:
        raise GatewayError(f"the broker's ca_file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if PEM_BEGIN not in text:
        raise GatewayError(f"the broker's ca_file {path} holds no certificate in PEM")
    return text


def _new_group() -> str:
    return f"ingest-{token_hex(16)}"
