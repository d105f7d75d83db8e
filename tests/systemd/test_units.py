"""The units: systemd accepts them without a word, expose little, and name what the code and the files name."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.credentials import NAME as CREDENTIALS_NAME
from device.settings import DEFAULT_PATH as KIOSK_PATH
from device.settings import KioskSettings
from gateway import runner
from gateway.broker import files
from gateway.configuration import DEFAULT_PATH as GATEWAY_PATH
from gateway.configuration import GatewaySettings
from tests.systemd.unit_file import FOLDER, PRODUCTS, UnitFile

REPOSITORY = FOLDER.parent
EXPOSURE_MAX = 2.5
AGENT_TURN_MAX_S = 1.0
"""What the agent promises: it calls `on_turn`, which feeds the watchdog, at least so often."""

PROGRAMS = {"kiosk": "kiosk", "gateway": "kiosk-gateway"}
DEVICE_CLASSES = {"4": "ttyS", "116": "alsa", "166": "ttyACM", "188": "ttyUSB", "204": "ttyAMA"}
"""From the kernel's own list of numbers, Documentation/admin-guide/devices.txt."""


@pytest.fixture(params=PRODUCTS)
def unit(request: pytest.FixtureRequest) -> UnitFile:
    return UnitFile(request.param)


@pytest.fixture
def kiosk() -> UnitFile:
    return UnitFile("kiosk")


@pytest.fixture
def gateway() -> UnitFile:
    return UnitFile("gateway")


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def configuration_lines(product: str, kind: str) -> Iterator[list[str]]:
    """The words of each line of the sysusers or tmpfiles file of a product."""
    for line in (FOLDER / f"voiseback-{product}.{kind}.conf").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield re.findall(r'"[^"]*"|\S+', line)


# ------------------------------------------------------------ what systemd says


def test_systemd_accepts_the_unit_without_a_word(unit: UnitFile, tmp_path: Path) -> None:
    # The program is not installed on the machine that tests; everything else is as it is.
    copy = tmp_path / unit.path.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.text, flags=re.MULTILINE))
    done = analyze("verify", "--man=no", copy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_misspelt_key_would_be_seen(unit: UnitFile, tmp_path: Path) -> None:
    copy = tmp_path / unit.path.name
    copy.write_text(unit.text.replace("WatchdogSec", "WatchDogSec"))
    assert "WatchDogSec" in analyze("verify", "--man=no", copy).stderr


def test_it_exposes_little(unit: UnitFile) -> None:
    done = analyze("security", "--offline=true", "--no-pager", unit.path)
    level = re.search(r"Overall exposure level for \S+: (?P<level>[\d.]+)", done.stdout)
    assert level is not None, done
    assert float(level["level"]) <= EXPOSURE_MAX


# ------------------------------------------------------------ starting, again and again


def test_it_is_started_again_without_limit_and_at_a_bounded_rate(unit: UnitFile) -> None:
    assert unit.value("Restart") == "always"
    assert unit.value("StartLimitIntervalSec") == "0"
    assert 1 <= unit.seconds("RestartSec") <= 30


def test_it_waits_for_no_network(unit: UnitFile) -> None:
    assert "network-online" not in unit.text
    assert unit.values("Requires") == unit.values("Wants") == []


def test_the_watchdog_waits_more_than_twice_as_long_as_the_code_does(kiosk: UnitFile, gateway: UnitFile) -> None:
    assert kiosk.seconds("WatchdogSec") > 2 * AGENT_TURN_MAX_S
    assert gateway.seconds("WatchdogSec") > 2 * runner.LOOK_S


def test_a_start_is_given_the_time_that_the_code_takes_at_most(gateway: UnitFile) -> None:
    # The broker and the subscription have their time each, and the database may have to be brought up to date first.
    assert gateway.seconds("TimeoutStartSec") > 2 * runner.START_S


def test_only_the_program_itself_speaks_to_systemd_and_is_asked_to_end(unit: UnitFile) -> None:
    assert unit.value("Type") == "notify"
    assert unit.value("NotifyAccess") == "main"
    assert unit.value("KillMode") == "mixed"


def test_a_child_that_is_killed_for_memory_does_not_end_the_service(unit: UnitFile) -> None:
    assert unit.value("OOMPolicy") == "continue"


def test_no_core_dump_is_written(unit: UnitFile) -> None:
    assert unit.value("LimitCORE") == "0"


def test_the_broker_may_have_as_many_connections_as_it_is_set_up_for(gateway: UnitFile) -> None:
    assert int(gateway.value("LimitNOFILE")) > files.MAX_CONNECTIONS


# ------------------------------------------------------------ names


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_program_is_one_that_the_product_installs(product: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    path, command = UnitFile(product).value("ExecStart").split()
    assert path == f"/opt/voiseback-{product}/bin/{PROGRAMS[product]}"
    assert PROGRAMS[product] in project["scripts"]
    assert command == "run"


def test_it_can_run_no_program_from_where_it_can_write(unit: UnitFile) -> None:
    own = [f"/var/lib/{unit.value('StateDirectory')}", *(f"/run/{name}" for name in unit.values("RuntimeDirectory"))]
    assert set(unit.value("NoExecPaths").split()) == {*own, "/dev/shm", "/tmp", "/var/tmp"}
    # systemd 252 makes writable what this names.
    assert unit.values("ExecPaths") == []


def test_it_can_change_neither_its_settings_nor_the_files_of_running_services(unit: UnitFile) -> None:
    assert unit.value("ProtectSystem") == "strict"
    # Folders that systemd itself leaves writable otherwise: its own API, and the settings that it makes for the unit.
    assert unit.value("ReadOnlyPaths").split() == ["/run", f"/etc/{unit.value('ConfigurationDirectory')}"]
    assert unit.values("ReadWritePaths") == []


@pytest.mark.parametrize("product", PRODUCTS)
def test_its_user_is_made_by_sysusers_for_it_alone(product: str) -> None:
    unit = UnitFile(product)
    name = f"voiseback-{product}"
    assert (unit.value("User"), unit.value("Group")) == (name, name)
    made = [line for line in configuration_lines(product, "sysusers") if line[0] == "u"]
    assert [(line[1], line[4]) for line in made] == [(name, f"/var/lib/{name}")]


def test_only_the_kiosk_may_open_sound_cards_and_serial_ports(kiosk: UnitFile, gateway: UnitFile) -> None:
    assert kiosk.value("SupplementaryGroups").split() == ["audio", "dialout"]
    assert gateway.values("SupplementaryGroups") == []
    assert gateway.value("PrivateDevices") == "yes"


def test_the_kiosks_folders_are_those_of_the_code(kiosk: UnitFile) -> None:
    settings = KioskSettings()
    assert f"/var/lib/{kiosk.value('StateDirectory')}" == settings.state_dir
    assert f"/run/{kiosk.value('RuntimeDirectory')}" == settings.runtime_dir
    assert kiosk.value("StateDirectoryMode") == kiosk.value("RuntimeDirectoryMode") == "0700"
    assert Path("/etc") / kiosk.value("ConfigurationDirectory") == KIOSK_PATH.parent


def test_the_gateways_folders_are_those_of_the_code(gateway: UnitFile) -> None:
    assert f"/var/lib/{gateway.value('StateDirectory')}" == GatewaySettings().state_dir
    assert gateway.value("StateDirectoryMode") == "0700"
    assert Path("/etc") / gateway.value("ConfigurationDirectory") == GATEWAY_PATH.parent


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_is_made_at_the_installation_is_what_the_unit_uses(product: str) -> None:
    unit = UnitFile(product)
    owner = unit.value("User")
    made = {line[1]: line[2:5] for line in configuration_lines(product, "tmpfiles") if line[0] == "d"}
    assert made == {
        f"/var/lib/{unit.value('StateDirectory')}": [unit.value("StateDirectoryMode"), owner, owner],
        f"/etc/{unit.value('ConfigurationDirectory')}": ["0755", "root", "root"],
    }


def test_the_credentials_are_handed_over_from_the_default_place_which_is_roots_alone(kiosk: UnitFile) -> None:
    place = KioskSettings().credentials
    assert kiosk.value("LoadCredential") == f"{CREDENTIALS_NAME}:{place}"
    kept = [line[2:5] for line in configuration_lines("kiosk", "tmpfiles") if line[:2] == ["z", place]]
    assert kept == [["0600", "root", "root"]]


def test_credentials_that_are_missing_do_not_keep_the_kiosk_from_saying_so(kiosk: UnitFile) -> None:
    assert kiosk.value("SetCredential") == f"{CREDENTIALS_NAME}:\\n"


# ------------------------------------------------------------ devices


def test_every_device_is_allowed_for_a_reason_and_by_the_number_that_linux_has_fixed(kiosk: UnitFile) -> None:
    assert kiosk.value("DevicePolicy") == "closed"
    allowed = [entry for entry in kiosk.entries if entry.key == "DeviceAllow"]
    found = {}
    for entry in allowed:
        number, rights = entry.value.removeprefix("char-").split()
        reason = re.fullmatch(r"(?P<what>\w.+) \(char-(?P<name>\w+)\)\.", entry.comment)
        assert reason is not None, entry
        assert rights == "rw"
        found[number] = reason["name"]
    assert found == DEVICE_CLASSES


def test_every_hole_in_a_sandbox_has_its_reason(unit: UnitFile) -> None:
    weakened = [entry for entry in unit.entries if entry.value in {"no", "all"}]
    opened = [entry for entry in unit.entries if entry.key == "SystemCallFilter" and entry.value[0] not in "@~"]
    assert all(entry.comment for entry in weakened + opened)
