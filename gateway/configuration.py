"""The gateway's settings file: typed, strict, every key optional."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from msgspec import Meta, Struct

from contract import settings_file
from contract.webhook import MAX_PAGE_URL_CHARS

CONFIG_VARIABLE = "VOISEBACK_GATEWAY_CONFIG"
DEFAULT_PATH = Path("/etc/voiseback/gateway.toml")

MAX_RETRY_DELAY_S = 7 * 86_400

RetryDelay = Annotated[int, Meta(ge=0, le=MAX_RETRY_DELAY_S)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]+\Z", max_length=253)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ExternalBrokerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker that somebody else runs; over TLS, with MQTT 5 and shared subscriptions."""

    host: Host
    """By which the gateway and the kiosks reach it; must stand in its certificate."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8883
    username: Annotated[str, Meta(min_length=1, max_length=200)]
    """The gateway's own at the broker; may read and write everything below the root of the contract."""
    password_file: Annotated[str, Meta(min_length=1)]
    ca_file: Annotated[str, Meta(min_length=1)]
    """The certificate, in PEM, of the authority that the broker's certificate comes from; kiosks get it as well."""


class BrokerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message broker: by default one that the gateway starts for its kiosks."""

    hosts: Annotated[tuple[Host, ...], Meta(max_length=20)] = ()
    """Names and addresses by which kiosks reach this machine; the first is written into new credentials.

    Empty means this machine's host name. All of them stand in the broker's certificate.
    """
    listen: str = "0.0.0.0"  # noqa: S104
    """The local address that the broker listens on: with TLS and a password for each kiosk, by default all of IPv4."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8883
    """The TLS port; 0 chooses a free one at the first start and keeps it."""
    external: ExternalBrokerSettings | None = None
    """Another broker, in the place of the gateway's own."""

    def __post_init__(self) -> None:
        """Refuse a ``listen`` that is no address."""
        try:
            ipaddress.ip_address(self.listen)
        except ValueError:
            raise ValueError(f"listen must be an IP address of this machine, not {self.listen!r}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The names and addresses by which kiosks reach the broker, never empty."""
        if self.external is not None:
            return (*self.hosts, self.external.host)
        return self.hosts or (socket.gethostname(),)


class DatabaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway keeps everything: SQLite in ``state_dir``, or PostgreSQL."""

    url: str | None = None
    """``postgresql://USER@HOST:PORT/NAME`` with libpq's options behind a ``?``; none means SQLite."""
    password_file: Annotated[str, Meta(min_length=1)] | None = None
    """A file that holds the password; none where the server asks for none, or ``~/.pgpass`` knows it."""

    def __post_init__(self) -> None:
        """Refuse what is no URL of PostgreSQL, and a password where it would be seen."""
        if self.url is None:
            if self.password_file is not None:
                raise ValueError("password_file belongs to a url, and there is none")
            return
        try:
            parts = urlsplit(self.url)
            fits = parts.scheme in {"postgresql", "postgres"} and (parts.port is None or parts.port > 0)
        except ValueError:
            fits = False
        if not fits or not parts.path.strip("/"):
            raise ValueError("url must look like postgresql://USER@HOST:5432/NAME")
        if parts.password is not None or "password" in parse_qs(parts.query):
            raise ValueError("url must not hold the password: write it into a file and name that as password_file")


class IngestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is taken from kiosks. What is not taken has no receipt: the kiosk keeps it and sends it again."""

    rate_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    """Messages a second from one kiosk."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 5_000
    """Messages that one kiosk may send at once, as after an outage."""
    min_free_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    """With less room on the disk of ``state_dir``, in millions of bytes, nothing is taken; 0 never looks."""


Days = Annotated[int, Meta(ge=0, le=36_500)]


class RetentionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many days what is kept; 0 keeps it for ever. What still has to be delivered is kept until it is."""

    feedback_days: Days = 730
    """A feedback with everything that belongs to it."""
    address_days: Days = 180
    """The e-mail addresses that visitors left, with the webhooks that carry them."""
    delivery_days: Days = 90
    """Webhooks that are delivered, given up or cancelled, with their bodies and attempts."""
    quarantine_days: Days = 90
    """Messages that were refused."""


class MonitoringSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `/healthz` and `/metrics` are: without TLS and without a password, so by default on this machine only."""

    listen: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 9464
    """0 switches both off."""

    def __post_init__(self) -> None:
        """Refuse a ``listen`` that is no address."""
        try:
            ipaddress.ip_address(self.listen)
        except ValueError:
            raise ValueError(f"listen must be an IP address of this machine, not {self.listen!r}") from None


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How webhooks are sent."""

    retry_delays_s: Annotated[tuple[RetryDelay, ...], Meta(max_length=30)] = (
        5,
        300,
        1_800,
        7_200,
        18_000,
        36_000,
        50_400,
        72_000,
        86_400,
    )
    """The wait before each repetition, in seconds; empty sends every webhook once."""
    deadline_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    """From the name's resolution to the answer's last byte."""
    allowed_networks: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Private networks, as CIDR, to which webhooks may be sent nevertheless."""

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        try:
            self.networks()
        except ValueError as error:
            raise ValueError(f"allowed_networks must hold networks such as 10.1.0.0/16: {error}") from None

    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return ``allowed_networks`` as networks."""
        return tuple(ipaddress.ip_network(text) for text in self.allowed_networks)


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a shop may set."""

    state_dir: Annotated[str, Meta(min_length=1)] = "/var/lib/voiseback-gateway"
    """Holds the database, keys, certificates and the broker's files; readable by the gateway alone."""
    page_url_template: Annotated[str, Meta(max_length=1_000)] = "https://{host}/k/{kiosk}"
    """The ``page_url`` of kiosks that have none of their own; ``{host}`` and ``{kiosk}`` are filled in."""
    log_level: LogLevel = "INFO"
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    def __post_init__(self) -> None:
        """Refuse a template that gives no URL."""
        plain = self.page_url_template.replace("{host}", "").replace("{kiosk}", "")
        if {"{", "}"} & set(plain) or not self.page_url_template.startswith(("https://", "http://")):
            msg = "page_url_template must be an http or https URL in which only {host} and {kiosk} stand in braces"
            raise ValueError(msg)

    @property
    def state_path(self) -> Path:
        """The state directory as an absolute path."""
        return Path(self.state_dir).expanduser().absolute()

    def page_url(self, kiosk: str) -> str:
        """Return the ``page_url`` of a kiosk that has none of its own."""
        url = self.page_url_template.replace("{host}", self.broker.names[0]).replace("{kiosk}", kiosk)
        return url[:MAX_PAGE_URL_CHARS]


_active: GatewaySettings | None = None


def load(path: Path | None) -> GatewaySettings:
    """Read the settings from ``path``, else from where the environment says, else from the default place.

    Raises:
        contract.settings_file.SettingsError: the file that was named is missing, or any file does not fit.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is None and not DEFAULT_PATH.exists():
        return GatewaySettings()
    return settings_file.load(named or DEFAULT_PATH, GatewaySettings)


def activate(settings: GatewaySettings) -> None:
    """Make ``settings`` those of this process; before Django is set up."""
    global _active  # noqa: PLW0603
    _active = settings


def active() -> GatewaySettings | None:
    """Return the settings of this process; None where nobody has set any, as in tools that only read the models."""
    return _active
