"""A record of a visit, as the tests of the spool and of the uplink put it into the spool."""

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
