"""The gateway's own certificate authority and the broker's certificate."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway import state
from gateway.errors import GatewayError

AUTHORITY_DAYS = 30 * 365
"""Kiosks believe only this authority and would all have to be set up anew with another."""

SERVER_DAYS = 825
RENEW_BEFORE_DAYS = 90

VALID_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""A kiosk without a clock battery starts in the past; it must be able to connect before its clock is set."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificates and keys lie."""

    authority: Path
    authority_key: Path
    server: Path
    server_key: Path

    @classmethod
    def below(cls, state_path: Path, broker_folder: Path) -> "TlsFiles":
        """Return the usual places: the authority's key is not where the broker could read it."""
        tls = state_path / "tls"
        return cls(tls / "ca.pem", tls / "ca.key", broker_folder / "server.pem", broker_folder / "server.key")


def ensure(files: TlsFiles, names: Iterable[str], *, now: datetime) -> bool:
    """Make what is missing, is near its end, or does not carry ``names``; tell whether the broker must read it anew.

    Raises:
        GatewayError: a file is damaged, or the authority's certificate and key do not belong together.
    """
    state.make_folder(files.authority.parent)
    with state.turn_of(files.authority.parent):
        authority, authority_key = _authority(files, now)
        wanted = _alternative_names(names)
        if _serves(files, authority, wanted, now):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue_server(authority, authority_key, key.public_key(), wanted, now)
        state.write_atomically(files.server_key, _key_bytes(key))
        state.write_atomically(files.server, certificate.public_bytes(serialization.Encoding.PEM))
        return True


def _authority(files: TlsFiles, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if not files.authority.exists() and not files.authority_key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        state.write_atomically(files.authority_key, _key_bytes(key))
        made = _issue_authority(key, now).public_bytes(serialization.Encoding.PEM)
        state.write_atomically(files.authority, made)
    try:
        certificate = x509.load_pem_x509_certificate(files.authority.read_bytes())
        loaded = serialization.load_pem_private_key(files.authority_key.read_bytes(), None)
    except (OSError, ValueError):
        raise GatewayError(
            f"{files.authority} or {files.authority_key} is missing or damaged; restore both from a backup, "
            "or delete both and renew every kiosk's credentials"
        ) from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != certificate.public_key():
        raise GatewayError(f"{files.authority} and {files.authority_key} do not belong together; restore both")
    return certificate, loaded


def _serves(files: TlsFiles, authority: x509.Certificate, wanted: Sequence[x509.GeneralName], now: datetime) -> bool:
    try:
        server = x509.load_pem_x509_certificate(files.server.read_bytes())
        key = serialization.load_pem_private_key(files.server_key.read_bytes(), None)
        server.verify_directly_issued_by(authority)
        carried = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 (whatever is wrong with it, a new one is made)
        return False
    return (
        key.public_key() == server.public_key()
        and set(carried) == set(wanted)
        and server.not_valid_after_utc - now > timedelta(days=RENEW_BEFORE_DAYS)
    )


def _issue_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Voiseback gateway authority")])
    return (
        _builder(name, name, key.public_key(), now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _issue_server(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Voiseback gateway broker")])
    until = min(now + timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(subject, authority.subject, key, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_SINCE)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(names: Iterable[str]) -> list[x509.GeneralName]:
    return [_alternative_name(name) for name in dict.fromkeys(names)]


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
