"""Both units under a real systemd, in the order in which a shop lives through it: `make systemd-container`.

A Debian is booted in a container with this checkout installed as docs/installation.md says. It takes root and minutes,
so it is no part of `make test`: pytest finds it by its name alone.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sentences import SENTENCES
from tests.systemd.conftest import Show
from tests.systemd.machine import until
from tests.systemd.service import Service
from tests.systemd.shop import CREDENTIALS, KIOSK_ID, Shop
from tests.systemd.unit_file import UnitFile

CACHE = Path(__file__).parents[2] / "build" / "systemd-container"

READY_MAX_S = 10.0
"""Of the kiosk, from the start of its program."""
START_S = 60.0
RESTART_S = 30.0
WATCHDOG_GRACE_S = 15.0
"""For the end of what hung, the wait before the restart, and the start."""
EAR = "-m audio"
BROKER = "mosquitto -c"
KILLS = 10

_HOLES = {"write its state"}
ALLOWED = {"kiosk": _HOLES | {"read the clock's state"}, "gateway": _HOLES}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop(CACHE) as shop:
        yield shop


def a_visit_works(shop: Shop) -> None:
    wav, words = next(iter(SENTENCES.items()))
    assert shop.visit(wav) == words
    until(lambda: shop.waiting() == 0, RESTART_S, "the receipt of every record")


def starts_of(service: Service) -> list[float]:
    """When systemd started it, in seconds since boot."""
    return [
        int(line["__MONOTONIC_TIMESTAMP"]) / 1e6
        for line in service.said("Starting voiseback")
        if line["_COMM"] == "systemd"
    ]


def test_systemd_accepts_the_units_where_they_are_installed(shop: Shop, show: Show) -> None:
    units = f"{shop.kiosk.name}.service {shop.gateway.name}.service"
    assert shop.machine.run("sh", "-c", f"systemd-analyze verify --man=no {units} 2>&1") == ""
    show("systemd in the container", shop.machine.run("systemctl", "--version").splitlines()[0])


def test_the_gateway_starts_at_boot(shop: Shop, show: Show) -> None:
    state = shop.gateway.wait_until_ready(START_S)
    assert state.restarts == 0
    show("the gateway is ready, from the start of its program", f"{state.ready_s - state.started_s:.1f} s")


def test_without_credentials_the_kiosk_says_what_to_do_and_is_tried_again_at_a_bounded_rate(
    shop: Shop, show: Show
) -> None:
    starts = until(lambda: found if len(found := starts_of(shop.kiosk)) >= 3 else None, START_S, "three starts")
    told = [line["MESSAGE"] for line in shop.kiosk.said("credentials.toml") if line["_COMM"] == "kiosk"]
    assert len(set(told)) == 1
    assert told[0].startswith(f"kiosk: {CREDENTIALS}: there is no such file;")
    gap_s = min(later - earlier for earlier, later in itertools.pairwise(starts))
    assert gap_s >= UnitFile("kiosk").seconds("RestartSec")
    show("without credentials: one sentence, tried again every", f"{gap_s:.1f} s")


def test_it_comes_up_by_itself_when_they_are_there(shop: Shop, show: Show) -> None:
    shop.admit_kiosk()
    assert shop.machine.run("stat", "--format=%a %U", CREDENTIALS).strip() == "600 root"
    state = shop.kiosk.wait_until_ready(START_S)
    took_s = state.ready_s - state.started_s
    assert took_s <= READY_MAX_S
    show("the kiosk is ready, from the start of its program", f"{took_s:.1f} s (at most {READY_MAX_S:.0f})")


def test_a_visit_goes_all_the_way_from_inside_the_sandboxes(shop: Shop, show: Show) -> None:
    shop.wait_for_scene("idle", since=0)
    a_visit_works(shop)
    known = shop.machine.run("/opt/voiseback-gateway/bin/kiosk-gateway", "kiosk", "list")
    assert KIOSK_ID in known
    assert "online" in known
    show("a visit: button, microphone, words, broker, database", "stored, and confirmed to the kiosk")


@pytest.mark.parametrize("product", ["kiosk", "gateway"])
def test_the_sandbox_lets_through_what_is_needed_and_nothing_else(product: str, shop: Shop, show: Show) -> None:
    services = {"kiosk": shop.kiosk, "gateway": shop.gateway}
    other = services["gateway" if product == "kiosk" else "kiosk"]
    found = shop.probe(services[product], other)
    assert {name for name, worked in found.items() if worked} == ALLOWED[product]
    refused = len(found) - len(ALLOWED[product])
    show(f"from inside the {product}'s sandbox", f"{refused} of {refused} forbidden things refused")


def test_sound_cards_and_serial_ports_are_allowed_before_their_first_driver_is_loaded(shop: Shop, show: Show) -> None:
    numbers = [entry.split()[0].removeprefix("char-") for entry in UnitFile("kiosk").values("DeviceAllow")]
    # A member of the service's group in the kernel, as root: what is refused then is refused by the device rules.
    script = (
        "import errno, os, sys\n"
        "paths = {int(major): f'/dev/probe-{major}' for major in sys.argv[1:]}\n"
        "for major, path in paths.items():\n"
        "    os.mknod(path, 0o020600, os.makedev(major, 200))\n"
        "open('/sys/fs/cgroup/system.slice/voiseback-kiosk.service/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "for major, path in paths.items():\n"
        "    try:\n"
        "        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))\n"
        "        print(major, 'opened')\n"
        "    except OSError as error:\n"
        "        print(major, errno.errorcode[error.errno])\n"
        "    finally:\n"
        "        os.unlink(path)\n"
    )
    others = ["10", "13", "89"]
    printed = shop.machine.run("python3", "-c", script, *numbers, *others)
    answers = dict(line.split() for line in printed.splitlines())
    refused = {major for major, answer in answers.items() if answer == "EPERM"}
    assert refused == set(others)
    show("devices: sound and serial, with no driver loaded yet", f"{len(numbers)} kinds allowed, others refused")


def test_an_ear_that_is_killed_is_replaced_and_the_agent_goes_on(shop: Shop, show: Show) -> None:
    shop.kiosk.wait_until_ready(START_S)
    before = shop.kiosk.state()
    ear = shop.kiosk.child(EAR, START_S)
    mark = len(shop.happenings)
    shop.kiosk.kill("KILL", ear)
    shop.kiosk.child(EAR, START_S, other_than=ear)
    shop.wait_for_scene("idle", mark)
    after = shop.kiosk.state()
    assert (after.main_pid, after.restarts) == (before.main_pid, before.restarts)
    a_visit_works(shop)
    show("the ear killed", "replaced; the agent went on; the next visit worked")


def test_a_broker_that_is_killed_is_replaced_and_the_gateway_goes_on(shop: Shop, show: Show) -> None:
    before = shop.gateway.state()
    broker = shop.gateway.child(BROKER, START_S)
    shop.gateway.kill("KILL", broker)
    shop.gateway.child(BROKER, START_S, other_than=broker)
    after = shop.gateway.state()
    assert (after.main_pid, after.restarts) == (before.main_pid, before.restarts)
    a_visit_works(shop)
    show("the broker killed", "replaced; the gateway went on; the next visit worked")


@pytest.mark.parametrize("product", ["kiosk", "gateway"])
def test_a_frozen_program_is_ended_by_the_watchdog_and_started_again(product: str, shop: Shop, show: Show) -> None:
    service = shop.kiosk if product == "kiosk" else shop.gateway
    before = service.wait_until_ready(START_S)
    assert before.watchdog_s == UnitFile(product).seconds("WatchdogSec")
    mark = len(shop.happenings)
    service.kill("STOP", before.main_pid)
    frozen_s = now_s(shop)
    after = service.wait_until_ready(before.watchdog_s + WATCHDOG_GRACE_S, other_than=before.main_pid)
    assert after.restarts == before.restarts + 1
    ended = [line["MESSAGE"] for line in service.journal() if line.get("_COMM") == "systemd"]
    assert any("Watchdog timeout" in message for message in ended)
    assert any("status=6/ABRT" in message for message in ended)
    if product == "kiosk":
        shop.wait_for_scene("idle", mark)
    a_visit_works(shop)
    took_s = after.ready_s - frozen_s
    show(f"the {product} frozen: ready again after", f"{took_s:.1f} s (watchdog {before.watchdog_s:.0f} s)")


def now_s(shop: Shop) -> float:
    """The time since boot, as systemd counts it."""
    return float(shop.machine.run("python3", "-c", "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC))"))


@pytest.mark.parametrize("product", ["kiosk", "gateway"])
def test_a_program_that_is_killed_again_and_again_is_started_every_time(product: str, shop: Shop, show: Show) -> None:
    service = shop.kiosk if product == "kiosk" else shop.gateway
    first = state = service.wait_until_ready(START_S)
    outages_s = []
    mark = 0
    for _ in range(KILLS):
        mark = len(shop.happenings)
        killed_s = now_s(shop)
        service.kill("KILL", state.main_pid)
        state = service.wait_until_ready(RESTART_S, other_than=state.main_pid)
        outages_s.append(state.ready_s - killed_s)
    assert state.restarts == first.restarts + KILLS
    if product == "kiosk":
        shop.wait_for_scene("idle", mark)
    a_visit_works(shop)
    show(f"the {product} killed {KILLS} times in a row: ready again after", f"at most {max(outages_s):.1f} s each")


def test_no_core_was_dumped(shop: Shop, show: Show) -> None:
    shared = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
    named = ("(", "-name", "core", "-o", "-name", "core.[0-9]*", "-o", "-name", "*.coredump*", ")")
    cores = shop.machine.run("find", "/", "-xdev", "-type", "f", *named)
    assert cores == ""
    show("core dumps after two aborts", f"none (the kernel's pattern: {shared})")


@pytest.mark.parametrize("product", ["kiosk", "gateway"])
def test_the_journal_can_be_read(product: str, shop: Shop, show: Show) -> None:
    service = shop.kiosk if product == "kiosk" else shop.gateway
    own = [line for line in service.journal() if line.get("SYSLOG_IDENTIFIER") == service.name]
    assert own
    for line in own:
        # What is no text comes as a list of bytes.
        assert isinstance(line["MESSAGE"], str), line
        assert line["MESSAGE"].isprintable(), line
        assert "Traceback" not in line["MESSAGE"], line
    words = [text for sentence in SENTENCES.values() for text in (sentence, *sentence.split(" at "))]
    assert not any(text in line["MESSAGE"] for line in own for text in words)
    warnings = [line for line in own if line["PRIORITY"] == "4"]
    ordinary = [line for line in own if line["PRIORITY"] == "6"]
    assert warnings
    assert ordinary
    show(f"the {product}'s journal", f"{len(own)} lines, {len(warnings)} of them warnings; no words of visitors")


def test_both_stop_in_order(shop: Shop, show: Show) -> None:
    for service, product in ((shop.kiosk, "kiosk"), (shop.gateway, "gateway")):
        before_s = now_s(shop)
        service.act("stop")
        service.wait_until_stopped(START_S)
        took_s = now_s(shop) - before_s
        assert service.children() == {}
        assert not service.said("Failed with result 'timeout'")
        show(f"the {product} stops within", f"{took_s:.1f} s")


def test_what_it_leaves_belongs_to_its_user_alone(shop: Shop) -> None:
    for service in (shop.kiosk, shop.gateway):
        state = shop.machine.root / "var/lib" / service.name
        owner = int(shop.machine.run("id", "--user", service.name))
        for folder, _, files in os.walk(state):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                status = path.lstat()
                assert status.st_uid == owner, path
                assert status.st_mode & 0o077 == 0, path
