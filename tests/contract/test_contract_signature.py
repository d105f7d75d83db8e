"""Signatures: fixed vectors, and nothing believed that was not signed with the secret, over these bytes, just now."""

import hmac
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contract import signature
from contract.signature import SignatureError, fingerprint, secret_problem, sign, verify

NOW_S = 1_736_937_000
BODY = '{"event":"feedback.new","feedback":{"transcript":"Schön ✨"}}'.encode()
SECRET = "whsec_5f2b9c1e7a"
OLD = "the-secret-before"

# Made with `printf '%s' '<timestamp>.<body>' | openssl dgst -sha256 -hmac '<secret>'`.
VECTORS = [
    (
        BODY,
        NOW_S,
        SECRET,
        "a27d65dd32bc80d6bb7d956d6626b5b95cd15861155db0d329087dd5d2817bec",
    ),
    (b"{}", 1, "s3cr3t-ü", "c9901c1b65f5454922bb89f44a300eabd98c729e1c3330e8b34b57d1564fc45b"),
    (b"", 0, "k", "6b4a4b8b3c40f1e8f53a3d36682e5f99f7ad2ac1df1c93dfe336f329167641e7"),
]


def refusal(body: bytes, header: str | None, secrets: str | Sequence[str] = SECRET, now_s: float = NOW_S) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(body, header, secrets, now_s=now_s)
    sentence = str(caught.value)
    assert SECRET not in sentence
    assert sentence.isprintable()
    return sentence


@pytest.mark.parametrize(("body", "timestamp_s", "secret", "expected"), VECTORS)
def test_fixed_vectors(body: bytes, timestamp_s: int, secret: str, expected: str) -> None:
    assert sign(body, timestamp_s, [secret]) == f"t={timestamp_s},v1={expected}"
    assert verify(body, f"t={timestamp_s},v1={expected}", secret, now_s=timestamp_s) == timestamp_s


@pytest.mark.parametrize("skew_s", [-300, -299.5, 0, 299.5, 300])
def test_a_timestamp_within_the_tolerance_is_taken_on_both_sides(skew_s: float) -> None:
    assert verify(BODY, sign(BODY, NOW_S, [SECRET]), SECRET, now_s=NOW_S + skew_s) == NOW_S


@pytest.mark.parametrize(("skew_s", "told"), [(-301, "-301 s"), (300.6, "+301 s"), (1e9, "+1000000000 s")])
def test_a_timestamp_beyond_the_tolerance_is_refused_on_both_sides(skew_s: float, told: str) -> None:
    sentence = refusal(BODY, sign(BODY, NOW_S, [SECRET]), now_s=NOW_S + skew_s)
    assert told in sentence
    assert "300 s are tolerated" in sentence


def test_during_a_rotation_either_secret_verifies_and_the_current_one_stands_last() -> None:
    header = sign(BODY, NOW_S, [OLD, SECRET])
    assert header.count("v1=") == 2
    assert header.endswith(signature.digest(BODY, NOW_S, SECRET))
    for secrets in (OLD, SECRET, [SECRET, "unknown"], [OLD, SECRET]):
        assert verify(BODY, header, secrets, now_s=NOW_S) == NOW_S
    assert verify(BODY, sign(BODY, NOW_S, [OLD]), [SECRET, OLD], now_s=NOW_S) == NOW_S
    assert "does not match" in refusal(BODY, header, "unknown")


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(ValueError, match="leave the header out"):
        sign(BODY, NOW_S, [])


@pytest.mark.parametrize("secrets", ["", [], [""]])
def test_a_receiver_without_a_secret_believes_nothing_not_even_what_is_signed_with_nothing(
    secrets: str | list[str],
) -> None:
    assert "has no secret" in refusal(BODY, sign(BODY, NOW_S, [""]), secrets)


@pytest.mark.parametrize("header", [None, ""])
def test_a_missing_header_is_told_as_such(header: str | None) -> None:
    assert "there is no Webhook-Signature header" in refusal(BODY, header)


GOOD = hmac.new(SECRET.encode(), b"%d." % NOW_S + BODY, "sha256").hexdigest()


@pytest.mark.parametrize(
    "header",
    [
        f"t={NOW_S}",
        f"v1={GOOD}",
        f"v1={GOOD},t={NOW_S}",
        f"t={NOW_S}, v1={GOOD}",
        f"t={NOW_S},v1={GOOD}\n",
        f"t={NOW_S},v1={GOOD},",
        f"t={NOW_S},v0={GOOD}",
        f"t={NOW_S},v1={GOOD.upper()}",
        f"t={NOW_S},v1={GOOD[:-1]}",
        f"t={NOW_S},v1={GOOD}0",
        f"t=-{NOW_S},v1={GOOD}",
        f"t={NOW_S}.0,v1={GOOD}",
        f"t=١٧٣٦٩٣٧٠٠٠,v1={GOOD}",
        f"t={'9' * 5_000},v1={GOOD}",
        f"t={NOW_S}" + f",v1={GOOD}" * (signature.MAX_SIGNATURES + 1),
        f"t={NOW_S},v1={GOOD}, t={NOW_S},v1={GOOD}",
    ],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    assert "is malformed" in refusal(BODY, header)


@given(st.text(st.characters(exclude_categories=[])) | st.from_regex(r"t=.{0,20},v1=.{0,70}"), st.binary(max_size=20))
def test_no_header_raises_anything_but_a_signature_error(header: str, body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(body, header, SECRET, now_s=NOW_S)


@settings(max_examples=200)
@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_changed_byte_of_the_body_is_refused(place: int, change: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= change
    assert "does not match" in refusal(bytes(changed), sign(BODY, NOW_S, [SECRET]))


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_one_changed_digit_of_the_signature_is_refused(place: int, digit: str) -> None:
    assume(GOOD[place] != digit)
    changed = f"{GOOD[:place]}{digit}{GOOD[place + 1 :]}"
    assert "does not match" in refusal(BODY, f"t={NOW_S},v1={changed}")


def test_another_timestamp_under_the_same_signature_is_refused() -> None:
    assert "does not match" in refusal(BODY, f"t={NOW_S + 1},v1={GOOD}")


@given(st.binary(max_size=200), st.integers(0, 10**12 - 1), st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_what_is_signed_verifies_with_each_of_its_secrets(body: bytes, timestamp_s: int, secrets: list[str]) -> None:
    header = sign(body, timestamp_s, secrets)
    assert all(verify(body, header, secret, now_s=timestamp_s) == timestamp_s for secret in secrets)


def test_a_fingerprint_tells_two_secrets_apart_and_is_no_secret() -> None:
    assert fingerprint(SECRET) == "35527761"
    assert fingerprint(SECRET) != fingerprint(OLD)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("", "empty"),
        (" " * 20, "begins or ends with a blank"),
        (f"{SECRET}\n", "begins or ends with a blank"),
        (f"\u00a0{SECRET}", "begins or ends with a blank"),
        (f"{SECRET}\x00{SECRET}", "cannot be printed"),
        (f"{SECRET}\u200b{SECRET}", "cannot be printed"),
        (f"{SECRET}\ud800{SECRET}", "cannot be printed"),
        ("x" * 15, "has 15 characters: use at least 16"),
    ],
)
def test_a_secret_that_would_fail_at_the_receiver_is_not_to_be_saved(secret: str, told: str) -> None:
    problem = secret_problem(secret)
    assert problem is not None
    assert told in problem
    if secret:
        assert secret not in problem


@pytest.mark.parametrize("secret", ["x" * 16, "s3cr3t-ü-and-more", "with a blank inside it", SECRET])
def test_an_ordinary_secret_may_be_saved(secret: str) -> None:
    assert secret_problem(secret) is None
