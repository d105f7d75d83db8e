"""What measurements mean: each fault is found alone, and its advice says what to do."""

import math

import pytest
from msgspec.structs import replace

from audio.measure import ChannelMeasure, Hum, Timing
from audio.settings import AudioSettings
from audio.speech_meter import SpeechMeasure
from audio.verdict import Finding, Measured, Verdict, judge, overall

SETTINGS = AudioSettings()
CHANNEL = ChannelMeasure(
    channel=1, noise_dbfs=-62.0, dc=0.001, peak=0.01, clipped=0, is_dead=False,
    hum=Hum(mains_hz=50, dbfs=-75.0, share=0.05),
)  # fmt: skip
DEAD = ChannelMeasure(channel=1, noise_dbfs=-96.0, dc=0.0, peak=0.0, clipped=0, is_dead=True, hum=None)
TIMING = Timing(seconds=10.0, rate_hz=15990.0, rate_error_hz=5.0, overflows=0, longest_gap_s=0.07)
SPEECH = SpeechMeasure(speech_s=4.0, dbfs=-25.0, clipped_frames=0)
GOOD = Measured(device="mic", rate_hz=16000, timing=TIMING, channels=(CHANNEL,), speech=SPEECH)


def poor(measured: Measured, settings: AudioSettings = SETTINGS) -> list[Finding]:
    findings = judge(measured, settings)
    bad = [finding for finding in findings if finding.verdict is Verdict.POOR]
    assert overall(findings) is (Verdict.POOR if bad else Verdict.GOOD)
    return bad


def only(measured: Measured, subject: str) -> str:
    """The advice for the one property that is poor."""
    bad = poor(measured)
    assert [finding.subject for finding in bad] == [subject]
    assert bad[0].advice is not None
    assert bad[0].advice.endswith(".")
    return bad[0].advice


def with_channel(**changes: object) -> Measured:
    return replace(GOOD, channels=(replace(CHANNEL, **changes),))


def test_a_good_microphone_is_good_in_everything() -> None:
    findings = judge(GOOD, SETTINGS)
    assert {finding.verdict for finding in findings} == {Verdict.GOOD}
    assert all(finding.advice is None for finding in findings)
    assert overall(findings) is Verdict.GOOD
    assert [finding.subject for finding in findings] == [
        "signal", "noise floor", "DC offset", "hum", "clipping", "sample rate", "lost sound", "speech level",
        "speech over noise",
    ]  # fmt: skip


def test_a_dead_channel_is_told_alone_with_where_to_look() -> None:
    assert "mute" in only(replace(GOOD, channels=(DEAD,)), "signal")


def test_a_dead_channel_beside_a_living_one_names_that() -> None:
    assert "`channel = 2`" in only(replace(GOOD, channels=(DEAD, replace(CHANNEL, channel=2))), "signal")


def test_another_dead_channel_does_not_matter() -> None:
    assert poor(replace(GOOD, channels=(CHANNEL, replace(DEAD, channel=2)))) == []


def test_the_channel_of_the_settings_is_judged() -> None:
    two = replace(GOOD, channels=(CHANNEL, replace(CHANNEL, channel=2, clipped=3)))
    assert poor(two) == []
    assert [finding.subject for finding in poor(two, AudioSettings(channel=2))] == ["clipping"]


@pytest.mark.parametrize(
    ("changes", "subject", "hint"),
    [
        ({"noise_dbfs": -44.0}, "noise floor", "away from fans"),
        ({"dc": -0.02}, "DC offset", "USB socket"),
        ({"clipped": 1, "peak": 1.0}, "clipping", "alsamixer"),
        ({"hum": Hum(mains_hz=60, dbfs=-50.0, share=0.8)}, "hum", "60 Hz"),
    ],
)
def test_each_fault_of_a_silent_channel_is_found(changes: dict[str, object], subject: str, hint: str) -> None:
    measured = with_channel(**changes)
    # Speech that is loud enough to stand out of it all the same.
    assert hint in only(replace(measured, speech=replace(SPEECH, dbfs=-13.0)), subject)


def test_hum_that_is_faint_or_a_small_part_of_the_noise_is_good() -> None:
    assert poor(with_channel(hum=Hum(mains_hz=50, dbfs=-70.0, share=0.9))) == []
    assert poor(with_channel(noise_dbfs=-50.0, hum=Hum(mains_hz=50, dbfs=-57.0, share=0.2))) == []


def test_a_rate_that_is_not_kept_is_poor_within_the_tolerance_good() -> None:
    assert "rate" in only(replace(GOOD, timing=replace(TIMING, rate_hz=14700.0)), "sample rate")
    assert poor(replace(GOOD, timing=replace(TIMING, rate_hz=16250.0))) == []


@pytest.mark.parametrize("error_hz", [300.0, math.inf])
def test_a_rate_that_was_measured_badly_is_not_judged(error_hz: float) -> None:
    findings = judge(replace(GOOD, timing=replace(TIMING, rate_hz=15700.0, rate_error_hz=error_hz)), SETTINGS)
    assert {one.subject: one.verdict for one in findings}["sample rate"] is Verdict.UNKNOWN
    assert overall(findings) is Verdict.GOOD


def test_lost_sound_is_poor_and_spoils_the_measurement_of_the_rate() -> None:
    measured = replace(GOOD, timing=replace(TIMING, overflows=2, rate_hz=15000.0))
    assert "latency_s" in only(measured, "lost sound")
    rate = next(finding for finding in judge(measured, SETTINGS) if finding.subject == "sample rate")
    assert rate.verdict is Verdict.UNKNOWN


def test_sound_that_stops_for_a_while_is_poor() -> None:
    assert "hub" in only(replace(GOOD, timing=replace(TIMING, longest_gap_s=0.4)), "lost sound")


@pytest.mark.parametrize(
    ("speech", "subject", "hint"),
    [
        (SpeechMeasure(speech_s=0.0, dbfs=None, clipped_frames=0), "speech level", "No speech"),
        (SpeechMeasure(speech_s=0.3, dbfs=-20.0, clipped_frames=0), "speech level", "No speech"),
        (SpeechMeasure(speech_s=4.0, dbfs=-46.0, clipped_frames=0), "speech level", "too quiet"),
        (SpeechMeasure(speech_s=4.0, dbfs=-11.0, clipped_frames=0), "speech level", "too loud"),
        (SpeechMeasure(speech_s=4.0, dbfs=-20.0, clipped_frames=3), "speech level", "too loud"),
    ],
)
def test_speech_that_is_missing_too_quiet_or_too_loud_is_poor(speech: SpeechMeasure, subject: str, hint: str) -> None:
    measured = replace(with_channel(noise_dbfs=-75.0), speech=speech)
    assert hint in only(measured, subject)


def test_speech_that_hardly_stands_out_of_the_noise_is_poor() -> None:
    assert "nearer" in only(replace(with_channel(noise_dbfs=-46.0), speech=replace(SPEECH, dbfs=-30.0)),
                            "speech over noise")  # fmt: skip


def test_a_knock_during_speech_is_not_too_loud() -> None:
    assert poor(replace(GOOD, speech=replace(SPEECH, clipped_frames=2))) == []


def test_nothing_measured_is_unknown() -> None:
    nothing = Measured(device="mic", rate_hz=16000, timing=None, channels=(), speech=None)
    assert overall(judge(nothing, SETTINGS)) is Verdict.UNKNOWN
