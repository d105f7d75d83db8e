from hypothesis import given, settings
from hypothesis import strategies as st

from audio.preroll import Preroll


@settings(max_examples=100)
@given(st.integers(0, 40), st.lists(st.binary(max_size=60), max_size=12))
def test_the_ring_keeps_the_newest_bytes_in_order(capacity: int, writes: list[bytes]) -> None:
    ring = Preroll(capacity)
    for samples in writes:
        ring.write(samples)
    everything = b"".join(writes)
    expected = everything[max(0, len(everything) - capacity) :]
    assert len(ring) == len(expected)
    assert ring.take() == expected


def test_what_was_taken_is_gone_and_overwritten() -> None:
    ring = Preroll(8)
    ring.write(b"secret")
    assert ring.take() == b"secret"
    assert ring.take() == b""
    assert bytes(ring._ring) == bytes(8)


def test_what_was_cleared_is_overwritten() -> None:
    ring = Preroll(8)
    ring.write(b"secret words")
    ring.clear()
    assert len(ring) == 0
    assert bytes(ring._ring) == bytes(8)


def test_the_ring_works_on_after_it_was_taken() -> None:
    ring = Preroll(4)
    ring.write(b"abcdef")
    ring.take()
    ring.write(b"gh")
    assert ring.take() == b"gh"
