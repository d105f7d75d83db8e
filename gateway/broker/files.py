"""The files that mosquitto reads: configuration, passwords, access rules. Every path in them is relative.

The broker runs in its own folder, which it can reach even where the state directory around it is closed to its user.
"""

from collections.abc import Mapping

from contract import topics
from contract.topics import Channel
from gateway.feedback.subscriber import MAX_PACKET_BYTES, RECEIVE_MAXIMUM

CONFIGURATION = "mosquitto.conf"
PASSWORDS = "passwords"
RULES = "rules"
DATA = "data"

GATEWAY_USER = "_gateway"
"""No kiosk can have this name: kiosk ids have no underscore."""

KIOSKS_WRITE = (Channel.FEEDBACK, Channel.REPLY, Channel.STATUS, Channel.HEALTH)
KIOSKS_READ = (Channel.RECEIPT,)

MAX_CONNECTIONS = 10_000
MAX_QUEUED_MESSAGES = 20_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""For one client. What is dropped beyond is sent again by the kiosk, for it has no receipt."""

MAX_KEEP_ALIVE_S = 600


def configuration(*, listen: str, port: int, user: str) -> str:
    """Return ``mosquitto.conf``. ``user`` is whom the broker becomes if it is started by root."""
    lines = [
        # With per-listener settings, persistent sessions are broken in several versions of mosquitto: never set.
        "allow_anonymous false",
        f"password_file {PASSWORDS}",
        f"acl_file {RULES}",
        f"user {user}",
        f"max_packet_size {MAX_PACKET_BYTES}",
        f"max_inflight_messages {RECEIVE_MAXIMUM}",
        f"max_queued_messages {MAX_QUEUED_MESSAGES}",
        f"max_queued_bytes {MAX_QUEUED_BYTES}",
        f"max_keepalive {MAX_KEEP_ALIVE_S}",
        "persistence true",
        f"persistence_location {DATA}/",
        "autosave_interval 300",
        "persistent_client_expiration 14d",
        "set_tcp_nodelay true",
        "sys_interval 0",
        "connection_messages false",
        "log_dest stderr",
        "log_timestamp false",
        "log_type error",
        "log_type warning",
        f"listener {port} {listen}",
        "certfile server.pem",
        "keyfile server.key",
        # A kiosk cannot take the connection of another over by its client id.
        "use_username_as_clientid true",
        f"max_connections {MAX_CONNECTIONS}",
    ]
    return "\n".join(lines) + "\n"


def rules() -> str:
    """Return the access rules: a kiosk reaches what is below its own id and nothing else."""
    lines = [f"user {GATEWAY_USER}", f"topic readwrite {topics.ROOT}/#"]
    lines.extend(f"pattern write {topics.ROOT}/%u/{channel}" for channel in KIOSKS_WRITE)
    lines.extend(f"pattern read {topics.ROOT}/%u/{channel}" for channel in KIOSKS_READ)
    return "\n".join(lines) + "\n"


def passwords(gateway_hash: str, kiosks: Mapping[str, str]) -> str:
    """Return the password file of the gateway and the kiosks."""
    lines = [f"{GATEWAY_USER}:{gateway_hash}", *(f"{kiosk}:{hashed}" for kiosk, hashed in kiosks.items())]
    return "\n".join(lines) + "\n"
