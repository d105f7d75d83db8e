"""What the kiosk keeps of one visit until the gateway has stored it."""

from datetime import datetime

import msgspec

from audio.protocol import Transcript
from contract.messages import Feedback, Word
from contract.text import MAX_TRANSCRIPT_CHARS, clean
from device.clock import Stamp


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback as it lies in the spool. There is no field for audio."""

    id: str
    pressed: Stamp
    transcript: str
    language: str
    confidence: float | None
    words: tuple[Word, ...]
    speech_s: float
    audio_s: float
    model: str
    agent_version: str
    consent_version: str | None


def record_of(
    visit: str, pressed: Stamp, transcript: Transcript, agent_version: str, consent_version: str | None
) -> Record:
    """Return what is kept of a visit."""
    return Record(
        id=visit,
        pressed=pressed,
        transcript=transcript.text or "",
        language=transcript.language,
        confidence=transcript.confidence,
        words=tuple(
            Word(word=word.word, start_s=word.start_s, end_s=word.end_s, confidence=word.confidence)
            for word in transcript.words
        ),
        speech_s=transcript.speech_s,
        audio_s=transcript.audio_s,
        model=transcript.model,
        agent_version=agent_version,
        consent_version=consent_version,
    )


def feedback_of(record: Record, *, kiosk: str, sequence: int, time: tuple[datetime, bool]) -> Feedback:
    """Return the message of ``record``, whose visit was at ``time``, as `clock.resolve` gives it."""
    created_at, synchronised = time
    return Feedback(
        id=record.id,
        kiosk=kiosk,
        created_at=created_at,
        clock="synchronised" if synchronised else "unsynchronised",
        transcript=clean(record.transcript, MAX_TRANSCRIPT_CHARS),
        language=record.language,
        confidence=record.confidence,
        words=record.words,
        speech_s=record.speech_s,
        audio_s=record.audio_s,
        model=record.model,
        agent_version=record.agent_version,
        sequence=sequence,
        consent_version=record.consent_version,
    )
