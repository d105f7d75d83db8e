"""What the measurements of a microphone mean for a kiosk, and what to do about them."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from audio.measure import ChannelMeasure, Timing, dbfs
from audio.settings import AudioSettings
from audio.speech_meter import SpeechMeasure

RATE_TOLERANCE: Final = 0.02
"""Crystals are right to 0.0005, and arrival times of 5 s tell the rate to about 0.01. A device that was opened at a
rate that it does not keep is off by 0.08 (44.1 kHz for 48) or more. The sentences of the demonstration are understood
up to 0.08 off."""
HUM_SHARE: Final = 0.3
"""With less of the noise's power, removing all hum would make it less than 1.6 dB quieter."""
NO_HUM_SHARE: Final = 0.02
"""Noise without any tone in it gives as much at the frequencies of the mains."""
LOUD_DBFS: Final = -12.0
"""Peaks of speech are about 12 dB above its mean, so speech with a higher mean touches full scale."""
LEAST_SPEECH_S: Final = 0.5
CLIPPED_FRAMES: Final = 3
"""As for a visit: a single clipped frame is a knock on the kiosk."""


class Verdict(StrEnum):
    """How a property of a microphone is."""

    GOOD = "good"
    POOR = "poor"
    UNKNOWN = "unknown"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of a microphone."""

    device: str
    rate_hz: int
    """The rate that it was opened at."""
    timing: Timing | None
    channels: tuple[ChannelMeasure, ...]
    """In silence."""
    speech: SpeechMeasure | None
    """None where nobody was asked to speak."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One property, judged."""

    subject: str
    verdict: Verdict
    value: str
    """The figures, for reading."""
    advice: str | None = None
    """What to do, for a property that is poor; one sentence."""


def overall(findings: Sequence[Finding]) -> Verdict:
    """Poor where anything is poor, unknown where nothing is good."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.POOR, Verdict.GOOD) if verdict in verdicts), Verdict.UNKNOWN)


def judge(measured: Measured, settings: AudioSettings) -> list[Finding]:
    """Every property of the channel that the kiosk listens to, and of the way of its sound."""
    channel = next((one for one in measured.channels if one.channel == settings.channel), None)
    findings = [_signal(channel, measured.channels)]
    is_alive = channel is not None and not channel.is_dead
    if channel is not None and is_alive:
        findings += [_noise(channel, settings), _offset(channel, settings), _hum(channel, settings), _clipping(channel)]
    findings += [_rate(measured), _loss(measured, settings)]
    if measured.speech is not None and is_alive:
        findings += _speech(measured.speech, channel, settings)
    return findings


def _finding(subject: str, value: str, advice: str | None) -> Finding:
    """Poor where there is advice, else good."""
    return Finding(subject=subject, verdict=Verdict.POOR if advice else Verdict.GOOD, value=value, advice=advice)


def _signal(channel: ChannelMeasure | None, channels: Sequence[ChannelMeasure]) -> Finding:
    subject = "signal"
    if channel is None:
        return Finding(subject=subject, verdict=Verdict.UNKNOWN, value="no sound arrived")
    if not channel.is_dead:
        return _finding(subject, "alive", None)
    alive = [other.channel for other in channels if not other.is_dead and other.channel != "mix"]
    if alive:
        advice = f"Channel {channel.channel} is dead and {alive[0]} is not: set `channel = {alive[0]}` in [audio]."
    else:
        advice = (
            "No sound arrives at all: switch the microphone on, look for its mute switch and its plug, and raise the "
            "capture level with alsamixer (F4)."
        )
    return _finding(subject, "dead: it never changes", advice)


def _noise(channel: ChannelMeasure, settings: AudioSettings) -> Finding:
    advice = None
    if channel.noise_dbfs > settings.quiet_dbfs:
        advice = (
            f"The room is as loud as quiet speech ({settings.quiet_dbfs:g} dBFS): move the microphone away from fans, "
            "loudspeakers and doors, or take one that hears to the front only."
        )
    return _finding("noise floor", f"{channel.noise_dbfs:.0f} dBFS", advice)


def _offset(channel: ChannelMeasure, settings: AudioSettings) -> Finding:
    advice = None
    # The kiosk's level contains the offset: from here on, silence reads as speech.
    if abs(channel.dc) > 10 ** (settings.quiet_dbfs / 20):
        advice = (
            "The offset alone reads as loud as quiet speech: try another USB socket without a hub, and replace the "
            "microphone or its adapter if it stays."
        )
    return _finding("DC offset", f"{100 * channel.dc:+.2f} % of full scale", advice)


def _hum(channel: ChannelMeasure, settings: AudioSettings) -> Finding:
    hum = channel.hum
    if hum is None:
        return Finding(subject="hum", verdict=Verdict.UNKNOWN, value="too little sound to say")
    advice = None
    if hum.share >= HUM_SHARE and hum.dbfs > settings.silence_dbfs:
        advice = (
            f"The mains hum at {hum.mains_hz} Hz: lead the microphone's cable away from mains cables and power "
            "supplies, and use a shielded cable or a USB microphone."
        )
    value = f"{hum.dbfs:.0f} dBFS at {hum.mains_hz} Hz, {100 * hum.share:.0f} % of the noise"
    return _finding("hum", value if hum.share >= NO_HUM_SHARE else "none", advice)


def _clipping(channel: ChannelMeasure) -> Finding:
    advice = None
    if channel.clipped:
        advice = (
            "Full scale is reached although nobody speaks: lower the capture level with alsamixer (F4), and look for a "
            "loose contact."
        )
    value = f"{channel.clipped} samples" if channel.clipped else f"none, peak {dbfs(channel.peak**2):.0f} dBFS"
    return _finding("clipping", value, advice)


def _rate(measured: Measured) -> Finding:
    subject = "sample rate"
    timing = measured.timing
    if timing is None:
        return Finding(subject=subject, verdict=Verdict.UNKNOWN, value="too little sound to say")
    deviation = timing.rate_hz / measured.rate_hz - 1
    value = f"{timing.rate_hz:.0f} ± {timing.rate_error_hz:.0f} Hz, {100 * deviation:+.1f} % off {measured.rate_hz} Hz"
    if timing.overflows:
        return Finding(subject=subject, verdict=Verdict.UNKNOWN, value=f"{value}, but sound was lost")
    doubt = timing.rate_error_hz / measured.rate_hz
    if abs(deviation) - doubt <= RATE_TOLERANCE < abs(deviation) + doubt:
        return Finding(subject=subject, verdict=Verdict.UNKNOWN, value=f"{value}; test for longer to be sure")
    if abs(deviation) <= RATE_TOLERANCE:
        return _finding(subject, value, None)
    return _finding(
        subject,
        value,
        "The microphone does not keep its rate, so words sound too high or too low: plug it in directly, without a "
        "hub, and replace it if that does not help.",
    )


def _loss(measured: Measured, settings: AudioSettings) -> Finding:
    subject = "lost sound"
    timing = measured.timing
    if timing is None:
        return Finding(subject=subject, verdict=Verdict.UNKNOWN, value="too little sound to say")
    value = f"overflows: {timing.overflows}, longest wait {1000 * timing.longest_gap_s:.0f} ms"
    block_s = settings.block_ms / 1000
    advice = None
    if timing.overflows:
        advice = (
            "Sound was lost: stop other programs, use a power supply that is strong enough, and raise `latency_s` in "
            "[audio]."
        )
    elif timing.longest_gap_s > settings.latency_s + block_s:
        advice = (
            "The sound stopped for a while: plug the microphone in directly, without a hub, and use a power supply "
            "that is strong enough."
        )
    return _finding(subject, value, advice)


def _speech(speech: SpeechMeasure, channel: ChannelMeasure | None, settings: AudioSettings) -> Iterator[Finding]:
    subject = "speech level"
    if speech.dbfs is None or speech.speech_s < LEAST_SPEECH_S:
        yield _finding(
            subject,
            f"{speech.speech_s:.1f} s of speech heard",
            "No speech was heard: repeat the test and speak all the time, from where visitors stand; raise the capture "
            "level with alsamixer (F4) if nothing changes.",
        )
        return
    too_loud = speech.clipped_frames >= CLIPPED_FRAMES or speech.dbfs > LOUD_DBFS
    advice = None
    if too_loud:
        advice = "The speech is too loud and is distorted: lower the capture level with alsamixer (F4)."
    elif speech.dbfs < settings.quiet_dbfs:
        advice = "The speech is too quiet: raise the capture level with alsamixer (F4), or bring the microphone nearer."
    clipped = f", {speech.clipped_frames} blocks clipped" if speech.clipped_frames else ""
    yield _finding(subject, f"{speech.dbfs:.0f} dBFS{clipped}", advice)
    if channel is not None:
        yield _above_noise(speech.dbfs - channel.noise_dbfs, settings)


def _above_noise(distance_db: float, settings: AudioSettings) -> Finding:
    advice = None
    # Nearer than this, the kiosk cannot tell a pause from speech, and waits for the visitor to stop.
    if distance_db < settings.background_db:
        advice = (
            f"Speech must be {settings.background_db:g} dB louder than the room: bring the microphone nearer to the "
            "visitor, or make the room quieter."
        )
    return _finding("speech over noise", f"{distance_db:.0f} dB", advice)
