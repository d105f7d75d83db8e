"""The kiosk's settings file, ``/etc/voiseback/kiosk.toml`` by default."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from audio.models.catalogue import DEFAULT_URL as DEFAULT_CATALOGUE
from audio.settings import AudioSettings
from device.buttons import STUCK_S
from device.hours import DAYS, OpeningHours, Span
from device.timekeeper import PATIENCE_S
from device.visit.limits import Limits

DEFAULT_PATH = Path("/etc/voiseback/kiosk.toml")

_Span = Annotated[float, Meta(ge=0.1, le=600)]
_Spans = tuple[Annotated[str, Meta(max_length=20)], ...]


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
    """So long after a closing scene has begun no visit begins; 0 switches it off."""
    stuck_s: Annotated[float, Meta(ge=5, le=86400)] = STUCK_S
    """A button that is down for longer than this is reported as stuck."""
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
        )


class ClockSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock of a machine that has none while it is switched off."""

    patience_s: Annotated[float, Meta(ge=0, le=86_400)] = PATIENCE_S
    """How long the kiosk is online before it sends feedback though its clock is not set. Where there is no time server
    (NTP) but a right clock, 0 spares the wait after each start."""


class HoursSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The opening hours: for each day the spans that begin on it, like ``["09:00-12:30", "13:30-19:00"]``."""

    time_zone: Annotated[str, Meta(min_length=1, max_length=100)]
    """The name of the shop's time zone, like ``Europe/Berlin``."""
    monday: _Spans = ()
    tuesday: _Spans = ()
    wednesday: _Spans = ()
    thursday: _Spans = ()
    friday: _Spans = ()
    saturday: _Spans = ()
    sunday: _Spans = ()
    exceptions: dict[str, _Spans] = {}
    """Dates that are unlike their day of the week, like ``"2026-12-25" = []``."""

    def __post_init__(self) -> None:
        """Refuse what is no time zone, no date or no span, and hours that never are."""
        hours = self.opening()
        if not any(hours.week) and not any(hours.exceptions.values()):
            raise ValueError("no day has a span; leave [hours] out if the kiosk is never to close")

    def opening(self) -> OpeningHours:
        """Return the hours to ask.

        Raises:
            ValueError: they cannot be.
        """
        try:
            zone = ZoneInfo(self.time_zone)
        except (OSError, ValueError, KeyError):
            raise ValueError(
                f"the time zone {self.time_zone!r} is not known here; `timedatectl list-timezones` names all"
            ) from None
        week = tuple(tuple(map(Span.parse, getattr(self, day))) for day in DAYS)
        return OpeningHours(
            zone, week, {_date(day): tuple(map(Span.parse, spans)) for day, spans in self.exceptions.items()}
        )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date; write it like '2026-12-25'") from None


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
    clock: ClockSettings = ClockSettings()

    hours: HoursSettings | None = None
    """When visitors are asked in; always, if there are none."""
