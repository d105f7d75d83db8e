"""Each part of a running store that fails: what the visitor sees, what the kiosk tells, and a way back by itself."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.sentences import SPEECH
from demo.store import Store
from tests.conftest import MakeStore
from tests.faults.failing_disk import FailingDisk, Fault, build
from tests.gateway.support import wait_until

WAIT_S = 40.0

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(240)]

Told = tuple[str, dict[str, str]]
"""An event of the kiosk's feed, and fields that it has."""


@dataclass(frozen=True)
class Failure:
    """One part that fails in a store where no visit is under way."""

    happens: Callable[[Store], None]
    told: Told
    shown: Told | None
    """By the panel, when it fails; None if it goes on as before."""
    told_after: Told
    shown_after: Told | None


def kill_ear(store: Store) -> None:
    assert store.kiosk is not None
    for name in ("python", "python3"):
        for ear in store.kiosk.children(name):
            os.kill(ear, signal.SIGKILL)


def unplug_panel(store: Store) -> None:
    assert store.panel is not None
    store.panel.write("vanish 1")


def kill_broker(store: Store) -> None:
    assert store.gateway is not None
    (broker,) = store.gateway.children("mosquitto")
    os.kill(broker, signal.SIGKILL)


IDLE = ("scene", {"scene": "idle"})

FAILURES = {
    "the ear is killed": Failure(
        happens=kill_ear,
        told=("ear_lost", {}),
        shown=("scene", {"scene": "out_of_service"}),
        told_after=("ear_ready", {}),
        shown_after=IDLE,
    ),
    "the panel is unplugged": Failure(
        happens=unplug_panel,
        told=("panel_offline", {}),
        shown=("unplugged", {}),
        told_after=("panel_online", {}),
        shown_after=IDLE,
    ),
    "the broker is killed": Failure(
        happens=kill_broker,
        told=("offline", {}),
        shown=None,
        told_after=("online", {}),
        shown_after=None,
    ),
}


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    """The disk of the kiosk that is started next."""
    disk = FailingDisk(tmp_path / "failing disk", build(tmp_path), tmp_path / "store" / "kiosk")
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    return disk


def wait_for(store: Store, source: str, told: Told | None, mark: int) -> None:
    if told is not None:
        name, fields = told
        store.happenings.wait_for(source, name, since=mark, timeout_s=WAIT_S, **fields)


def scenes_since(store: Store, mark: int) -> list[str]:
    return [one.fields["scene"] for one in store.happenings.find("panel", "scene", since=mark)]


def check(store: Store, name: str, failure: Failure) -> None:
    mark = len(store.happenings)
    failure.happens(store)
    wait_for(store, "kiosk", failure.told, mark)
    wait_for(store, "panel", failure.shown, mark)
    wait_for(store, "kiosk", failure.told_after, mark)
    wait_for(store, "panel", failure.shown_after, mark)
    if failure.shown is None:
        assert scenes_since(store, mark) == [], name


def visit_anyhow(store: Store) -> str:
    """Press, and speak if the kiosk listens; return the scene with which it ends, once the kiosk is idle again."""
    assert store.microphone is not None
    mark = len(store.happenings)
    store.press()
    wait_until(lambda: {"recording", "sorry"} & set(scenes_since(store, mark)), WAIT_S)
    if "recording" in scenes_since(store, mark):
        store.microphone.say(SPEECH / "flowers.wav")
    store.happenings.wait_for("panel", "scene", scene="idle", since=mark, timeout_s=WAIT_S)
    return scenes_since(store, mark)[-2]


def check_full_disk(store: Store, disk: FailingDisk) -> None:
    """A visitor in front of a kiosk whose disk is full, and those after there is room again."""
    disk.fail(Fault.FULL)
    mark = len(store.happenings)
    assert visit_anyhow(store) == "sorry"
    store.happenings.wait_for("kiosk", "scene", scene="sorry", since=mark, timeout_s=WAIT_S)
    disk.heal()
    # A failed write is tried again after some seconds.
    wait_until(lambda: visit_anyhow(store) == "thanks", WAIT_S)


def test_each_part_that_fails_is_shown_and_told_and_comes_back_by_itself(
    make_store: MakeStore, disk: FailingDisk
) -> None:
    store = make_store(thanks_s=0.5)
    store.start()
    assert store.kiosk is not None
    pid = store.kiosk.pid
    for name, failure in FAILURES.items():
        check(store, name, failure)
    mark = len(store.happenings)
    check_full_disk(store, disk)
    store.happenings.wait_for("receiver", "webhook", verified=True, since=mark, timeout_s=WAIT_S)
    assert (store.kiosk.alive, store.kiosk.pid) == (True, pid)
