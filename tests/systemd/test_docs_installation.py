"""The page about the installation puts every file where the units look for it, and says what they say."""

import re

import pytest

from device.settings import DEFAULT_PATH as KIOSK_PATH
from device.settings import KioskSettings
from gateway.configuration import DEFAULT_PATH as GATEWAY_PATH
from tests.systemd.unit_file import FOLDER, PRODUCTS, UnitFile

PAGE = (FOLDER.parent / "docs" / "installation.md").read_text(encoding="utf-8")
PLACES = {
    ".service": "/etc/systemd/system/{name}.service",
    ".sysusers.conf": "/etc/sysusers.d/{name}.conf",
    ".tmpfiles.conf": "/etc/tmpfiles.d/{name}.conf",
}


def test_every_file_has_its_command_and_its_place() -> None:
    installed = dict(re.findall(r"^sudo install -D -m 644 systemd/(\S+) (\S+)$", PAGE, re.MULTILINE))
    expected = {}
    for path in FOLDER.iterdir():
        name, dot, ending = path.name.partition(".")
        expected[path.name] = PLACES[dot + ending].format(name=name)
    assert installed == expected


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_program_is_installed_where_the_unit_starts_it(product: str) -> None:
    program = UnitFile(product).value("ExecStart").split()[0]
    assert f"sudo ln -sf {program} /usr/local/bin/" in PAGE
    assert f"sudo python3 -m venv {program.rsplit('/bin/', 1)[0]}\n" in PAGE


def test_settings_and_credentials_are_where_the_code_looks_for_them() -> None:
    assert f"`{KIOSK_PATH}`" in PAGE
    assert f"`{GATEWAY_PATH}`" in PAGE
    assert f"sudo install -m 600 front-door.toml {KioskSettings().credentials}\n" in PAGE


def test_the_times_are_those_of_the_units() -> None:
    kiosk, gateway = UnitFile("kiosk"), UnitFile("gateway")
    for pattern, key in (
        (r"within (\d+) seconds, the gateway within (\d+)", "WatchdogSec"),
        (r"after (\d+) seconds\n?\s*\(gateway: (\d+)\)", "TimeoutStopSec"),
    ):
        told = re.search(pattern, PAGE)
        assert told is not None, key
        assert tuple(map(float, told.groups())) == (kiosk.seconds(key), gateway.seconds(key))
    assert kiosk.seconds("RestartSec") == gateway.seconds("RestartSec") == 3


def test_every_device_and_every_group_of_the_unit_is_explained() -> None:
    kiosk = UnitFile("kiosk")
    row = re.search(r"^\| devices ([\d, ]+) \|", PAGE, re.MULTILINE)
    assert row is not None
    allowed = {value.split()[0].removeprefix("char-") for value in kiosk.values("DeviceAllow")}
    assert set(row[1].split(", ")) == allowed
    for group in kiosk.value("SupplementaryGroups").split():
        assert f"`{group}`" in PAGE
    for product in PRODUCTS:
        calls = [value for value in UnitFile(product).values("SystemCallFilter") if value[0] not in "@~"]
        assert all(f"| `{value.split()[0]}` | {product} |" in PAGE for value in calls)
