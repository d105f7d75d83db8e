"""The file that admits a kiosk to the broker."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import credentials
from contract.credentials import BrokerCredentials
from contract.settings_file import SettingsError

PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\nabc+/=\n-----END CERTIFICATE-----\n"


def made(**changes: object) -> BrokerCredentials:
    fields: dict[str, object] = {
        "kiosk_id": "shop-1",
        "host": "gateway.example",
        "port": 8883,
        "username": "shop-1",
        "password": "a-long-password-of-chance",
        "ca_certificate": PEM,
    }
    return BrokerCredentials(**{**fields, **changes})  # type: ignore[arg-type]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "k.toml"
    credentials.write(path, made())
    assert credentials.load(path) == made()


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "k.toml"
    credentials.write(path, made())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "k.toml"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        credentials.write(path, made())
    assert path.read_text() == "mine"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        credentials.write(tmp_path / "k.toml", made())
    assert not (tmp_path / "elsewhere").exists()


@given(password=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=200))
def test_any_printable_password_survives(tmp_path_factory: pytest.TempPathFactory, password: str) -> None:
    path = tmp_path_factory.mktemp("credentials") / "k.toml"
    credentials.write(path, made(password=password))
    assert credentials.load(path).password == password


def test_the_password_does_not_show() -> None:
    assert "a-long-password" not in repr(made())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"port": 0}, "port"),
        ({"password": "short"}, "password"),
        ({"kiosk_id": "Shop"}, "kiosk_id"),
        ({"ca_certificate": "none"}, "ca_certificate"),
        ({"host": "a b"}, "host"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, object], word: str) -> None:
    path = tmp_path / "k.toml"
    path.write_text(credentials.render(made(**change)))
    with pytest.raises(SettingsError, match=word):
        credentials.load(path)
