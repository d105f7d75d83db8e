"""What the ear makes of a visit, and the record of one, as tests put them into the agent and into the spool."""

from audio.protocol import Transcript, Word
from device.clock import Stamp
from device.record import Record


def a_record(name: str) -> Record:
    return Record(
        id=name,
        pressed=Stamp(boot_id="boot", since_boot_s=5.0, wall_s=1_700_000_000.0, synchronised=True),
        transcript=f"words of {name}",
        language="en",
        confidence=0.9,
        words=(),
        speech_s=1.0,
        audio_s=2.0,
        model="m",
        agent_version="0",
        consent_version=None,
    )


def a_transcript(
    visit: str, text: str | None = "hello", *, words: tuple[Word, ...] = (), audio_s: float = 2.0, speech_s: float = 1.0
) -> Transcript:
    return Transcript(
        visit=visit,
        text=text,
        language="en",
        model="m",
        confidence=0.9 if text else None,
        words=words,
        audio_s=audio_s,
        speech_s=speech_s,
        finalise_ms=5.0,
        too_quiet=False,
        too_loud=False,
    )
