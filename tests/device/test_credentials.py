"""Which credentials file the kiosk reads, under systemd and without it."""

from pathlib import Path

import pytest

from device.credentials import credentials_path
from device.settings import KioskSettings

DEFAULT = Path("/etc/voiseback/credentials.toml")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What systemd hands over."""
    path = tmp_path / "credentials.toml"
    path.write_text('kiosk_id = "front-door"\n')
    return path


def test_without_a_service_manager_it_is_the_one_of_the_settings() -> None:
    assert credentials_path(KioskSettings(), {}) == DEFAULT
    assert credentials_path(KioskSettings(credentials="/srv/own.toml"), {}) == Path("/srv/own.toml")


def test_what_the_service_manager_hands_over_comes_before_the_default_place(given: Path) -> None:
    assert credentials_path(KioskSettings(), {"CREDENTIALS_DIRECTORY": str(given.parent)}) == given


def test_a_file_that_the_settings_name_comes_first(given: Path) -> None:
    settings = KioskSettings(credentials="/srv/own.toml")
    assert credentials_path(settings, {"CREDENTIALS_DIRECTORY": str(given.parent)}) == Path("/srv/own.toml")


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_one_that_is_missing_or_blank_stands_for_none_in_the_default_place(given: Path, content: str | None) -> None:
    if content is None:
        given.unlink()
    else:
        given.write_text(content)
    assert credentials_path(KioskSettings(), {"CREDENTIALS_DIRECTORY": str(given.parent)}) == DEFAULT
