"""The memory in which the sound of visits outlives an ear, and what it shows of the ear's life."""

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio import memory_file, vitals
from audio.keeper import Keeper
from audio.kept_sound import SLOTS, Header, KeptSound, SlotState, file_bytes, pack, slot_bytes, tag_of, unpack
from audio.memory_file import ALIGN_BYTES
from audio.shared_memory import SharedMemory
from audio.vitals import NO_TAG, Vitals, VitalSigns, Work

CAPACITY = slot_bytes(5.0)


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = memory_file.create("test", file_bytes(5.0))
    yield made
    os.close(made)


@pytest.fixture
def kept(descriptor: int) -> KeptSound:
    return KeptSound(descriptor)


def not_zero(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).strip(b"\0")


headers = st.builds(
    Header,
    st.sampled_from([SlotState.RECORDING, SlotState.FINISHING]),
    st.integers(4000, 384000),
    st.integers(0, CAPACITY // 2).map(lambda size: 2 * size),
    st.binary(min_size=16, max_size=16),
    st.from_regex(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", fullmatch=True),
)


@given(headers)
def test_a_header_comes_back_the_same(header: Header) -> None:
    assert unpack(pack(header), CAPACITY) == header


@settings(max_examples=200)
@given(st.binary(max_size=120) | st.tuples(headers, st.integers(0, 90), st.integers(0, 255)))
def test_a_damaged_header_is_none_or_one_within_bounds(damage: bytes | tuple[Header, int, int]) -> None:
    if isinstance(damage, bytes):
        data = damage
    else:
        changed = bytearray(pack(damage[0]))
        changed[damage[1] % len(changed)] = damage[2]
        data = bytes(changed)
    found = unpack(data, CAPACITY)
    if found is not None:
        assert 0 <= found.size_bytes <= CAPACITY
        assert found.size_bytes % 2 == 0
        assert found.state is not SlotState.FREE
        assert 4000 <= found.rate_hz <= 384000


def test_sound_comes_back_as_it_was_written(kept: KeptSound) -> None:
    slot = kept.open("a", 16000, "en")
    assert slot is not None
    slot.write(b"ab" * 1000)
    slot.write(b"cd" * 500)
    slot.finish()
    found = kept.find("a")
    assert found is not None
    assert found.header == Header(SlotState.FINISHING, 16000, 3000, tag_of("a"), "en")
    assert found.read(0, 2000) + found.read(2000, 5000) == b"ab" * 1000 + b"cd" * 500
    assert found.read(3000, 100) == b""
    assert kept.find("b") is None


def test_a_begun_visit_without_sound_is_found(kept: KeptSound) -> None:
    kept.open("a", 16000, "en")
    found = kept.find("a")
    assert found is not None
    assert found.header.size_bytes == 0


def test_memory_is_taken_as_sound_comes_and_given_back(kept: KeptSound, descriptor: int) -> None:
    assert memory_file.used_bytes(descriptor) == 0
    slot = kept.open("a", 48000, "en")
    assert slot is not None
    slot.write(b"\x01" * 300_000)
    used = memory_file.used_bytes(descriptor)
    assert 300_000 <= used <= 300_000 + 2 * mmap.PAGESIZE
    slot.wipe()
    assert memory_file.used_bytes(descriptor) == 0
    assert not_zero(descriptor) == b""


def test_wiping_overwrites_what_no_header_tells_of(kept: KeptSound, descriptor: int) -> None:
    slot = kept.open("a", 16000, "en")
    assert slot is not None
    slot.write(b"\x01" * 1000)
    os.pwrite(descriptor, b"half a block, written before its header", 2 * ALIGN_BYTES + 200_000)
    kept.wipe("a")
    assert not_zero(descriptor) == b""


def test_zeros_are_written_before_memory_is_given_back(
    kept: KeptSound, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = kept.open("a", 16000, "en")
    assert slot is not None
    slot.write(b"\x01" * 100_000)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError("no such luck")

    monkeypatch.setattr(mmap, "mmap", refuse)
    slot.wipe()
    assert not_zero(descriptor) == b""
    assert memory_file.used_bytes(descriptor) > 0


def test_there_are_slots_for_a_few_visits_and_a_wiped_one_is_free(kept: KeptSound) -> None:
    slots = [kept.open(f"visit-{number}", 16000, "en") for number in range(SLOTS)]
    assert all(slots)
    assert kept.open("one too many", 16000, "en") is None
    kept.wipe("visit-1")
    assert kept.open("another", 16000, "en") is not None
    assert kept.find("visit-2") is not None


def test_all_but_some_visits_are_wiped_damaged_slots_included(kept: KeptSound, descriptor: int) -> None:
    for name in ("a", "b", "c"):
        slot = kept.open(name, 16000, "en")
        assert slot is not None
        slot.write(name.encode() * 1000)
    os.pwrite(descriptor, b"damage", ALIGN_BYTES + 2 * (ALIGN_BYTES + CAPACITY))
    kept.wipe_all_but(["b"])
    assert kept.find("a") is None
    found = kept.find("b")
    assert found is not None
    assert found.read(0, 1000) == b"b" * 1000
    assert b"c" * 10 not in not_zero(descriptor)
    kept.wipe_all_but(())
    assert not_zero(descriptor) == b""


def test_what_exceeds_a_slot_is_not_kept(kept: KeptSound) -> None:
    slot = kept.open("a", 192000, "en")
    assert slot is not None
    for _ in range(CAPACITY // 100_000 + 2):
        slot.write(bytes([7]) * 100_000)
    assert slot.header.size_bytes == CAPACITY
    assert kept.open("b", 16000, "en") is not None
    found = kept.find("b")
    assert found is not None
    assert found.header.size_bytes == 0


def test_the_length_of_the_file_is_sealed_and_a_descriptor_is_not_inherited_by_chance(descriptor: int) -> None:
    for length in (0, file_bytes(900.0)):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, length)
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL
    assert not os.get_inheritable(descriptor)
    assert "memfd:" in str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_another_file_is_no_kept_sound() -> None:
    small = memory_file.create("test", 100)
    with pytest.raises(OSError, match="no file of kept sound"):
        KeptSound(small)
    os.close(small)


# ---------------------------------------------------------------- signs of life

times = st.floats(0, 1e9)


@given(st.builds(Vitals, times, st.sampled_from(Work), times, st.binary(min_size=16, max_size=16)))
def test_vitals_come_back_the_same(signs: Vitals) -> None:
    assert vitals.unpack(vitals.pack(signs)) == signs


@given(st.binary(max_size=60))
def test_anything_else_is_no_vitals(data: bytes) -> None:
    assert vitals.unpack(data) is None


def test_an_ear_shows_what_it_owes_and_since_when(descriptor: int) -> None:
    now_s = 10.0
    signs = VitalSigns(descriptor, lambda: now_s)
    assert vitals.read(descriptor) is None
    signs.beat()
    now_s = 11.0
    signs.work(Work.LISTENING, tag_of("a"))
    now_s = 12.0
    seen = vitals.read(descriptor)
    assert seen == Vitals(10.0, Work.LISTENING, 11.0, tag_of("a"))
    assert seen.overdue_s(12.0) == 1.0
    signs.step()
    seen = vitals.read(descriptor)
    assert seen is not None
    assert seen.overdue_s(12.5) == 0.5
    signs.work(Work.NONE)
    seen = vitals.read(descriptor)
    assert seen == Vitals(10.0, Work.NONE, 12.0, NO_TAG)
    assert seen.overdue_s(99.0) == 0.0
    vitals.clear(descriptor)
    assert vitals.read(descriptor) is None


# ---------------------------------------------------------------- who uses it


def test_the_parent_sees_which_visits_have_sound_and_wipes_them() -> None:
    memory = SharedMemory(5.0)
    assert memory.descriptor is not None
    keeper = Keeper(KeptSound(memory.descriptor))
    keeper.begin("a", 16000, "en")
    keeper.write("a", b"ab")
    keeper.begin("b", 16000, "en")
    assert memory.kept(["a", "b", "c"]) == ["a"]
    memory.wipe("a")
    assert memory.kept(["a"]) == []
    memory.close()
    assert memory.kept(["a"]) == []
    assert memory.vitals() is None


def test_without_memory_nothing_is_kept_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse)
    memory = SharedMemory(5.0)
    assert memory.descriptor is None
    assert memory.kept(["a"]) == []
    memory.wipe("a")
    memory.wipe_all_but(())
    assert memory.used_bytes() == 0
    memory.close()
    assert len(caplog.records) == 1


def test_a_keeper_whose_memory_fails_gives_a_visit_up_and_says_so_once(
    kept: KeptSound, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(kept)
    keeper.begin("a", 16000, "en")

    def refuse(*_arguments: object) -> int:
        raise OSError("Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        keeper.write("a", b"ab")
        keeper.write("a", b"ab")
    keeper.finish("a")
    keeper.forget("a")
    assert len(caplog.records) == 1


def test_an_old_kernel_without_the_newest_seal_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    original, asked = os.memfd_create, []

    def old(name: str, flags: int) -> int:
        asked.append(flags)
        if flags & 0x0008:
            raise OSError(22, "Invalid argument")
        return original(name, flags)

    monkeypatch.setattr(os, "memfd_create", old)
    os.close(memory_file.create("test", ALIGN_BYTES))
    assert len(asked) == 2


def test_signs_may_be_given_by_several_threads_at_once(descriptor: int) -> None:
    signs = VitalSigns(descriptor)

    def give() -> None:
        for _ in range(500):
            signs.beat()
            signs.work(Work.LISTENING, tag_of("a"))
            signs.step()

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen = vitals.read(descriptor)
        assert seen is None or seen.tag in {NO_TAG, tag_of("a")}
    for thread in threads:
        thread.join()
