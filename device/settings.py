"""The kiosk's settings file, ``/etc/voiseback/kiosk.toml`` by default."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from audio.models.catalogue import DEFAULT_URL as DEFAULT_CATALOGUE
from audio.settings import AudioSettings
from device import hours as opening_hours
from device.timekeeper import PATIENCE_S
from device.visit.limits import Limits

DEFAULT_PATH = Path("/etc/voiseback/kiosk.toml")

_Span = Annotated[float, Meta(ge=0.1, le=600)]


class PanelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The button panel."""

    port: str | None = None
    """The serial port, best by its stable name below ``/dev/serial/by-id/``, or ``auto``: the panel is then looked for
    at every serial port that no other program uses. Without one the kiosk has no panel."""


class VisitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long things may take, in seconds."""

    hold_s: _Span = Limits().hold_s
    speech_max_s: _Span = Limits().speech_max_s
    finishing_max_s: _Span = Limits().finishing_max_s
    thanks_s: _Span = Limits().thanks_s
    notice_s: _Span = Limits().notice_s
    interval_s: Annotated[float, Meta(ge=0, le=600)] = Limits().interval_s
    """So soon after the end of a visit no other begins, against play; 0 switches it off."""
    stuck_s: Annotated[float, Meta(ge=5, le=3600)] = Limits().stuck_s
    """A button that is down for longer is reported as stuck."""
    consent_version: Annotated[str, Meta(max_length=200)] | None = None
    """Names the text about recording that the store shows at the kiosk; travels with each feedback."""

    def limits(self) -> Limits:
        """Return the times as the visit's machine takes them."""
        return Limits(
            hold_s=self.hold_s,
            speech_max_s=self.speech_max_s,
            finishing_max_s=self.finishing_max_s,
            thanks_s=self.thanks_s,
            notice_s=self.notice_s,
            interval_s=self.interval_s,
            stuck_s=self.stuck_s,
        )


_Spans = list[Annotated[str, Meta(max_length=40)]]


class ClockSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock of a machine that has none while it is switched off."""

    patience_s: Annotated[float, Meta(ge=0, le=86_400)] = PATIENCE_S
    """How long the kiosk is online before it sends feedback though its clock is not set. Where there is no time server
    (NTP) but a right clock, 0 spares the wait after each start."""


class HoursSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the kiosk can be used: spans such as ``"09:00-17:30"`` for each day; without any day, always.

    A span over midnight, such as ``"22:00-02:00"``, belongs to the day on which it begins. A day that is not named is
    closed, as is one with an empty list. While the clock is not synchronised the kiosk is open: a wrong clock closes
    no shop.
    """

    time_zone: Annotated[str, Meta(max_length=100)] | None = None
    """The shop's, as ``Europe/Berlin``."""
    monday: _Spans | None = None
    tuesday: _Spans | None = None
    wednesday: _Spans | None = None
    thursday: _Spans | None = None
    friday: _Spans | None = None
    saturday: _Spans | None = None
    sunday: _Spans | None = None
    exceptions: dict[str, _Spans] = {}
    """Single days, as ``2026-12-25 = []``: their spans replace those of their day of the week."""

    def __post_init__(self) -> None:
        """Find what means nothing where the file is read."""
        self.hours()

    def hours(self) -> opening_hours.Hours | None:
        """Return the opening hours; None where there are none to keep."""
        days = {day: spans for day in opening_hours.WEEKDAYS if (spans := getattr(self, day)) is not None}
        return opening_hours.parse(self.time_zone, days, self.exceptions)


class KioskSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a technician may set."""

    credentials: str = "/etc/voiseback/credentials.toml"
    """The file that `kiosk-gateway kiosk add` wrote for this kiosk."""
    state_dir: str = "/var/lib/voiseback-kiosk"
    """Where the spool lies; on a disk that keeps what it has acknowledged. The speech models lie there, too."""
    runtime_dir: str = "/run/voiseback-kiosk"
    """Where the agent offers its events to this machine's own programs."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    health_interval_s: Annotated[float, Meta(ge=5, le=3600)] = 60.0
    """How often the gateway is told how the kiosk is, in seconds (5 to 3600); a change is told within seconds."""
    model_catalogue: Annotated[str, Meta(min_length=1, max_length=2000)] = DEFAULT_CATALOGUE
    """Where `kiosk model` finds the list of speech models that can be installed: an http or https URL, or a file. The
    format is that of the Vosk project, whose list is the default."""
    panel: PanelSettings = PanelSettings()
    audio: AudioSettings = msgspec.field(default_factory=AudioSettings)
    visit: VisitSettings = VisitSettings()
    hours: HoursSettings = HoursSettings()
    clock: ClockSettings = ClockSettings()
