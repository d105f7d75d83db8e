"""The computer, as its kernel tells; with a root folder made for the test."""

from pathlib import Path

import pytest

from device.machine import Machine

MEMINFO = (
    "MemTotal:        1933312 kB\nMemFree:          100 kB\nMemAvailable:    1403520 kB\nHugePages_Total:       0\n"
)


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_this_machine_tells_what_it_can() -> None:
    stats = Machine(Path("/tmp")).stats()
    assert stats.disk_bytes is not None
    assert stats.disk_free_bytes is not None
    assert 0 < stats.disk_free_bytes <= stats.disk_bytes
    assert stats.agent_memory_bytes is not None
    assert 1_000_000 < stats.agent_memory_bytes < 10_000_000_000
    assert stats.agent_threads is not None
    assert stats.agent_threads >= 1
    assert stats.agent_files is not None
    assert stats.agent_files >= 3
    assert stats.uptime_s > 0


def test_a_raspberry_pi_tells_its_temperature_and_what_slows_it_down(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/loadavg", "0.10 0.25 0.40 1/123 4567\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "54200\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "61000\n")
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    stats = Machine(tmp_path, tmp_path).stats()
    assert stats.memory_bytes == 1933312 * 1024
    assert stats.memory_available_bytes == 1403520 * 1024
    assert stats.load_5min == 0.25
    assert stats.temperature_c == 61.0
    assert stats.throttled == ("under-voltage", "throttled")


@pytest.mark.parametrize(("bits", "expected"), [("0", ()), ("0x50000", ()), ("8", ("soft temperature limit",))])
def test_what_slowed_it_down_in_the_past_does_not_count(tmp_path: Path, bits: str, expected: tuple[str, ...]) -> None:
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", bits)
    assert Machine(tmp_path, tmp_path).stats().throttled == expected


@pytest.mark.parametrize(("alarm", "expected"), [("1\n", ("under-voltage",)), ("0\n", ()), ("", None)])
def test_a_newer_kernel_tells_of_the_voltage_alone(
    tmp_path: Path, alarm: str, expected: tuple[str, ...] | None
) -> None:
    write(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert Machine(tmp_path, tmp_path).stats().throttled == expected


def test_what_a_sandbox_hides_is_unknown_and_no_error(tmp_path: Path) -> None:
    stats = Machine(tmp_path / "missing", tmp_path).stats()
    assert stats.disk_free_bytes is None
    assert stats.memory_available_bytes is None
    assert stats.load_5min is None
    assert stats.temperature_c is None
    assert stats.throttled is None
    assert stats.agent_memory_bytes is None
    assert stats.agent_files is None


@pytest.mark.parametrize("text", ["", "hot\n", "-273000\n", "\xff\xfe"])
def test_a_sensor_that_tells_nonsense_is_left_out(tmp_path: Path, text: str) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", text)
    assert Machine(tmp_path, tmp_path).stats().temperature_c is None
