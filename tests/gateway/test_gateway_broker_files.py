"""Certificates, passwords, access rules and configuration of the broker."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.broker import certificates, files, passwords, place
from gateway.broker.certificates import TlsFiles
from gateway.configuration import BrokerSettings, GatewaySettings
from gateway.errors import GatewayError
from tests.gateway.support import NOW

NAMES = ["gw.example", "10.0.0.1", "::1"]


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "broker").mkdir()
    return TlsFiles.below(tmp_path, tmp_path / "broker")


def test_the_certificate_carries_the_names_and_is_signed_by_the_authority(tls: TlsFiles) -> None:
    assert certificates.ensure(tls, NAMES, now=NOW)
    authority = x509.load_pem_x509_certificate(tls.authority.read_bytes())
    server = x509.load_pem_x509_certificate(tls.server.read_bytes())
    server.verify_directly_issued_by(authority)
    carried = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in carried] == NAMES


def test_a_kiosk_whose_clock_is_years_behind_can_already_use_it(tls: TlsFiles) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    for path in (tls.authority, tls.server):
        assert x509.load_pem_x509_certificate(path.read_bytes()).not_valid_before_utc.year == 2020


def test_keys_are_for_the_owner_alone(tls: TlsFiles) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    for path in (tls.authority_key, tls.server_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_renewed_without_need(tls: TlsFiles) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    assert not certificates.ensure(tls, list(reversed(NAMES)), now=NOW + timedelta(days=700))


def test_the_certificate_is_renewed_near_its_end_by_the_same_authority(tls: TlsFiles) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    authority = tls.authority.read_bytes()
    assert certificates.ensure(tls, NAMES, now=NOW + timedelta(days=750))
    assert tls.authority.read_bytes() == authority


@pytest.mark.parametrize("damage", ["names", "file", "key"])
def test_the_certificate_is_renewed_if_it_does_not_serve(tls: TlsFiles, damage: str) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    if damage == "file":
        tls.server.write_text("nonsense")
    if damage == "key":
        tls.server_key.write_bytes(tls.authority_key.read_bytes())
    assert certificates.ensure(tls, ["other.example"] if damage == "names" else NAMES, now=NOW)


def test_a_lost_authority_key_is_said_rather_than_replaced(tls: TlsFiles) -> None:
    certificates.ensure(tls, NAMES, now=NOW)
    tls.authority_key.unlink()
    with pytest.raises(GatewayError, match="renew every kiosk"):
        certificates.ensure(tls, NAMES, now=NOW)


def test_a_password_matches_its_own_hash_only() -> None:
    password = passwords.make_password()
    stored = passwords.make_hash(password)
    assert stored.startswith("$7$101$")
    assert passwords.matches(password, stored)
    assert not passwords.matches(password + "x", stored)
    assert passwords.make_hash(password) != stored


def test_the_rules_give_a_kiosk_its_own_branch_and_nothing_else() -> None:
    assert files.rules().splitlines() == [
        "user _gateway",
        "topic readwrite voiseback/v1/kiosks/#",
        "pattern write voiseback/v1/kiosks/%u/feedback",
        "pattern write voiseback/v1/kiosks/%u/reply",
        "pattern write voiseback/v1/kiosks/%u/status",
        "pattern write voiseback/v1/kiosks/%u/health",
        "pattern read voiseback/v1/kiosks/%u/receipt",
    ]


def test_the_configuration_lets_nobody_in_without_password_and_tls() -> None:
    lines = files.configuration(listen="10.0.0.1", port=8883, user="mosquitto").splitlines()
    assert "allow_anonymous false" in lines
    assert [line for line in lines if line.startswith("listener")] == ["listener 8883 10.0.0.1"]
    assert "certfile server.pem" in lines
    assert not any("per_listener_settings" in line or "/" in line.replace("data/", "") for line in lines)


def test_a_chosen_port_is_kept(tmp_path: Path) -> None:
    settings = GatewaySettings(state_dir=str(tmp_path), broker=BrokerSettings(port=0, listen="127.0.0.1"))
    assert place.settle(settings).port == place.settle(settings).port
    (tmp_path / "broker" / "port").write_text("many")
    with pytest.raises(GatewayError, match="damaged"):
        place.settle(settings)


def test_the_broker_is_never_to_run_as_root(tmp_path: Path) -> None:
    assert place.settle(GatewaySettings(state_dir=str(tmp_path))).user.uid != 0


def test_a_certificate_made_now_is_valid_now(tls: TlsFiles) -> None:
    now = datetime.now(UTC)
    certificates.ensure(tls, NAMES, now=now)
    server = x509.load_pem_x509_certificate(tls.server.read_bytes())
    assert server.not_valid_before_utc < now < server.not_valid_after_utc
