"""When an ear must be given up: a pure account of its signs of life, with the time passed in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EarLimits:
    """How long the parent waits, in seconds."""

    start_s: float = 20.0
    """For the first sound. PortAudio may look at every device for some seconds."""
    stall_s: float = 1.0
    """For the next sound, once there was some."""
    load_s: float = 120.0
    """For the model."""
    finish_s: float = 60.0
    """For a transcript, from `finish` on. On a small machine the recogniser may be behind by the visit's length."""
    retry_first_s: float = 0.2
    """Before the first new try after a loss; doubled with each loss, up to `retry_max_s`, less up to half by chance."""
    retry_max_s: float = 3.0
    steady_s: float = 10.0
    """An ear that was ready so long starts the retries from the beginning when it is lost."""


class Vigil:
    """Watches one life of an ear that was started at `now_s`."""

    def __init__(self, limits: EarLimits, now_s: float) -> None:
        self._limits = limits
        self._started_s = now_s
        self._sound_s: float | None = None
        self._ready_s: float | None = None
        self._finishes_s: dict[str, float] = {}

    def heard(self, now_s: float) -> None:
        """The ear gave a sign of arriving sound."""
        self._sound_s = now_s

    def ready(self, now_s: float) -> None:
        """The ear is ready."""
        self._ready_s = now_s

    def finishing(self, visit: str, now_s: float) -> None:
        """A transcript is asked for."""
        self._finishes_s[visit] = now_s

    def done(self, visit: str) -> None:
        """The transcript is there, or not wanted any more."""
        self._finishes_s.pop(visit, None)

    def was_steady(self, now_s: float) -> bool:
        """Whether the ear has worked for `steady_s`."""
        return self._ready_s is not None and now_s - self._ready_s >= self._limits.steady_s

    def verdict(self, now_s: float) -> str | None:
        """Why the ear must be given up; None while it need not."""
        limits = self._limits
        if self._sound_s is None:
            if now_s - self._started_s > limits.start_s:
                return f"the microphone gave no sound within {limits.start_s:g} s"
        elif now_s - self._sound_s > limits.stall_s:
            return f"no sound has come from the microphone for {limits.stall_s:g} s: unplugged, or the ear hangs"
        elif self._ready_s is None and now_s - self._started_s > limits.load_s:
            return f"the model was not loaded within {limits.load_s:g} s"
        if any(now_s - asked_s > limits.finish_s for asked_s in self._finishes_s.values()):
            return f"the recogniser gave no transcript within {limits.finish_s:g} s"
        return None
