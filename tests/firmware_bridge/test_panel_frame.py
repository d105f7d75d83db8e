"""Frames: what is encoded comes back, however it is cut; what is damaged never does."""

import random

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.frame import (
    DELIMITER,
    MAX_ENCODED,
    MAX_PAYLOAD,
    Frame,
    FrameDecoder,
    crc16,
    encode,
)

BYTE = st.integers(0, 255)
FRAMES = st.builds(Frame, BYTE, BYTE, st.binary(max_size=MAX_PAYLOAD))
SAMPLES = [Frame(1, 0, b"\x01\xcd\xab\x34\x12"), Frame(3, 5, b"\x02"), Frame(3, 0, b"\x00"), Frame(0x85, 255)]


def body_of(frame: Frame) -> bytes:
    body: bytes = cobs.decode(encode(frame)[1:-1])
    return body


def test_the_crc_has_its_published_check_value() -> None:
    assert crc16(b"123456789") == 0x29B1


@settings(max_examples=150)
@given(st.lists(FRAMES, max_size=6), st.data())
def test_frames_come_back_in_order_however_the_bytes_are_cut(frames: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    decoder = FrameDecoder()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += decoder.feed(wire[start:end])
    assert received == frames
    assert (decoder.frames, decoder.crc_errors, decoder.malformed, decoder.overlong) == (len(frames), 0, 0, 0)


@given(FRAMES)
def test_a_frame_stands_between_two_zeros_and_contains_none(frame: Frame) -> None:
    before, encoded, after = encode(frame).split(DELIMITER)
    assert before == after == b""
    assert len(encoded) == len(frame.payload) + 5 <= MAX_ENCODED


def test_a_payload_over_the_limit_or_a_type_that_is_no_byte_is_refused() -> None:
    assert encode(Frame(1, 1, b"x" * MAX_PAYLOAD))
    with pytest.raises(ValueError, match="64 bytes"):
        encode(Frame(1, 1, b"x" * (MAX_PAYLOAD + 1)))
    with pytest.raises(ValueError, match="256"):
        encode(Frame(256, 1))


def test_the_crc_finds_every_single_bit_error_and_every_burst_of_up_to_16_bits() -> None:
    # The CRC is linear: an error goes unseen only when its own pattern, from an initial value of 0, has the CRC 0.
    import binascii

    for shift in range(8):
        for burst in range(1, 1 << 16):
            assert binascii.crc_hqx((burst << shift).to_bytes(3, "big"), 0) != 0


@settings(max_examples=300)
@given(FRAMES, st.integers(1, 0xFFFF), st.data())
def test_a_burst_within_a_body_is_never_taken_for_a_frame(frame: Frame, burst: int, data: st.DataObject) -> None:
    body = body_of(frame)
    shift = data.draw(st.integers(0, len(body) * 8 - burst.bit_length()))
    damaged = (int.from_bytes(body, "big") ^ (burst << shift)).to_bytes(len(body), "big")
    decoder = FrameDecoder()
    assert decoder.feed(cobs.encode(damaged) + DELIMITER) == []
    assert decoder.crc_errors == 1


@pytest.mark.parametrize("frame", SAMPLES)
def test_no_single_bit_error_on_the_wire_yields_another_frame_or_costs_the_next(frame: Frame) -> None:
    wire = encode(frame)
    good = Frame(0x82, 0, b"\x07\x00\x00\x00")
    for bit in range(len(wire) * 8):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        assert FrameDecoder().feed(bytes(damaged) + encode(good)) == [good]


def test_damage_on_the_wire_gets_through_no_more_often_than_a_crc_of_16_bits_allows() -> None:
    rng = random.Random(7)
    wrong = 0
    for _ in range(20_000):
        frame = Frame(rng.randrange(256), rng.randrange(256), rng.randbytes(rng.randrange(20)))
        damaged = bytearray(encode(frame))
        for _ in range(rng.randrange(1, 5)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        wrong += any(received != frame for received in FrameDecoder().feed(bytes(damaged)))
    # 0.3 are expected in 20,000 trials.
    assert wrong <= 3


@given(FRAMES, st.binary(max_size=100))
def test_noise_before_a_frame_does_not_cost_it(frame: Frame, noise: bytes) -> None:
    assert FrameDecoder().feed(noise + encode(frame))[-1:] == [frame]


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_never_raise_and_the_next_frame_is_received(pieces: list[bytes]) -> None:
    decoder = FrameDecoder()
    for piece in pieces:
        decoder.feed(piece)
    assert decoder.feed(encode(Frame(3, 1, b"\x02")))[-1] == Frame(3, 1, b"\x02")


def test_each_kind_of_damage_has_its_own_counter() -> None:
    decoder = FrameDecoder()
    decoder.feed(b"\x01" * 200 + DELIMITER)
    assert decoder.overlong == 1
    decoder.feed(b"\x09\x01\x02" + DELIMITER)
    assert decoder.malformed == 1
    decoder.feed(cobs.encode(b"abc") + DELIMITER)
    assert decoder.malformed == 2
    decoder.feed(cobs.encode(b"abcde") + DELIMITER)
    assert decoder.crc_errors == 1
    decoder.feed(DELIMITER * 5)
    assert (decoder.frames, decoder.crc_errors, decoder.malformed, decoder.overlong) == (0, 1, 2, 1)


def test_a_stream_without_a_delimiter_takes_no_memory() -> None:
    decoder = FrameDecoder()
    for _ in range(100):
        decoder.feed(b"\x55" * 4096)
        assert len(decoder._buffer) <= MAX_ENCODED
    assert decoder.feed(encode(Frame(1, 2))) == [Frame(1, 2)]
    assert decoder.overlong == 1


def test_a_reset_decoder_has_forgotten_the_half_of_a_frame() -> None:
    decoder = FrameDecoder()
    wire = encode(Frame(1, 2, b"half"))
    decoder.feed(wire[:4])
    decoder.reset()
    assert decoder.feed(wire) == [Frame(1, 2, b"half")]
