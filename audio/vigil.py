"""When an ear must be given up: a pure account of its signs of life, with the time passed in."""

from dataclasses import dataclass

from audio.vitals import Vitals, Work


@dataclass(frozen=True, slots=True)
class EarLimits:
    """How long the parent waits, in seconds."""

    start_s: float = 20.0
    """For the first sound. PortAudio may look at every device for some seconds."""
    stall_s: float = 1.0
    """For the next sound, once there was some."""
    hang_s: float = 5.0
    """For a sign of the ear's main thread, where no sound is to be expected. Loading a library may hold it up."""
    load_s: float = 120.0
    """For a model."""
    stuck_s: float = 2.0
    """For the recogniser's next step: a tenth of a second of sound, or a visit's last words. Small models take 10 ms
    for the first and 100 ms for the second."""
    patient_s: float = 20.0
    """The same where the sound was kept and no visitor waits: a machine that is merely slow loses no words."""
    finish_s: float = 60.0
    """For a transcript, from `finish` on. On a small machine the recogniser may be behind by the visit's length."""
    keep_s: float = 600.0
    """For an ear with a model that can transcribe what was kept of an interrupted visit."""
    retry_first_s: float = 0.2
    """Before the first new try after a loss; doubled with each loss, up to `retry_max_s`, less up to half by chance."""
    retry_max_s: float = 3.0
    steady_s: float = 10.0
    """An ear that was ready so long starts the retries from the beginning when it is lost."""
    language_first_s: float = 1.0
    """Before an unusable model is tried again; doubled each time, less up to half by chance."""
    language_max_s: float = 10.0
    """The longest such time for a model that is refused, which costs a look at its folder."""
    language_deadly_s: float = 600.0
    """The longest such time for a model whose loading ends the ear."""


class Vigil:
    """Watches one life of an ear that was started at `now_s`."""

    def __init__(self, limits: EarLimits, now_s: float) -> None:
        self._limits = limits
        self._started_s = now_s
        self._sound_s: float | None = None
        self._ready_s: float | None = None
        self._loading_s: float | None = now_s
        self._recovering: set[str] = set()
        self._finishes_s: dict[str, float] = {}

    def heard(self, now_s: float) -> None:
        """The ear gave a sign of arriving sound."""
        self._sound_s = now_s

    def ready(self, now_s: float) -> None:
        """The ear is ready."""
        self._ready_s = now_s
        self._loading_s = None

    def loading(self, now_s: float) -> None:
        """A model is asked for."""
        self._loading_s = now_s

    def loaded(self) -> None:
        """The model is there, or it is known that it cannot be had."""
        self._loading_s = None

    def finishing(self, visit: str, now_s: float) -> None:
        """A transcript is asked for."""
        self._finishes_s[visit] = now_s

    def recovering(self, visit: str) -> None:
        """The ear is to transcribe what was kept of this visit, with or without a microphone."""
        self._recovering.add(visit)

    def done(self, visit: str) -> None:
        """The transcript is there, or not wanted any more."""
        self._finishes_s.pop(visit, None)
        self._recovering.discard(visit)

    def was_steady(self, now_s: float) -> bool:
        """Whether the ear has worked for `steady_s`."""
        return self._ready_s is not None and now_s - self._ready_s >= self._limits.steady_s

    def silent_for_s(self, now_s: float, vitals: Vitals | None) -> float:
        """How long ago the ear last showed that it works: by sound, or by a step of the recogniser."""
        since_s = max(self._started_s, self._sound_s or 0.0)
        overdue_s = vitals.overdue_s(now_s) if vitals and vitals.work is not Work.LOADING else 0.0
        return max(now_s - since_s, overdue_s, 0.0)

    def verdict(self, now_s: float, vitals: Vitals | None = None) -> str | None:
        """Why the ear must be given up; None while it need not. `vitals`: as the ear itself wrote them, if known."""
        return self._recogniser(now_s, vitals) or self._sound(now_s, vitals) or self._transcripts(now_s)

    def _recogniser(self, now_s: float, vitals: Vitals | None) -> str | None:
        limits = self._limits
        if vitals is None or vitals.work in (Work.NONE, Work.LOADING):
            return None
        limit_s = limits.patient_s if vitals.work is Work.RECOVERING else limits.stuck_s
        if vitals.overdue_s(now_s) > limit_s:
            return f"the recogniser hangs: it has done no step of its work for {limit_s:g} s"
        return None

    def _sound(self, now_s: float, vitals: Vitals | None) -> str | None:
        limits = self._limits
        if self._sound_s is not None:
            if now_s - self._sound_s > limits.stall_s:
                return f"no sound has come from the microphone for {limits.stall_s:g} s: unplugged, or the ear hangs"
        elif self._recovering:
            beat_s = max(self._started_s, vitals.beat_s if vitals else 0.0)
            if now_s - beat_s > limits.hang_s:
                return f"the ear hangs: it has given no sign for {limits.hang_s:g} s"
        elif now_s - self._started_s > limits.start_s:
            return f"the microphone gave no sound within {limits.start_s:g} s"
        if self._loading_s is not None and now_s - self._loading_s > limits.load_s:
            return f"the model was not loaded within {limits.load_s:g} s"
        return None

    def _transcripts(self, now_s: float) -> str | None:
        limits = self._limits
        if any(now_s - asked_s > limits.finish_s for asked_s in self._finishes_s.values()):
            return f"the recogniser gave no transcript within {limits.finish_s:g} s"
        return None
