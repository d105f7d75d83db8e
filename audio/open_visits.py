"""The parent's account of visits that have no transcript yet, through the loss of ears. Pure; times are passed in."""

from collections.abc import Collection

from audio.protocol import Failed, Interrupted


class OpenVisits:
    """Each visit that `begin` was called for, until `end`. Sound of an interrupted one is kept for `keep_s` at most."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._interrupted_s: dict[str, float | None] = {}

    def __contains__(self, visit: str) -> bool:
        return visit in self._interrupted_s

    def __len__(self) -> int:
        return len(self._interrupted_s)

    @property
    def names(self) -> list[str]:
        """All open visits, in the order of their beginning."""
        return list(self._interrupted_s)

    @property
    def live(self) -> list[str]:
        """Those that the present ear has heard from their beginning."""
        return [visit for visit, since_s in self._interrupted_s.items() if since_s is None]

    @property
    def interrupted(self) -> list[str]:
        """Those that are recorded no more, and whose sound is kept for the ear that transcribes them."""
        return [visit for visit, since_s in self._interrupted_s.items() if since_s is not None]

    def begin(self, visit: str) -> None:
        """A visit begins."""
        self._interrupted_s.setdefault(visit, None)

    def interrupt(self, visit: str, now_s: float) -> bool:
        """The present ear records no more of a visit, and goes on to transcribe it; whether it was live."""
        was_live = visit in self.live
        if was_live:
            self._interrupted_s[visit] = now_s
        return was_live

    def end(self, visit: str) -> bool:
        """A visit is over; whether it was open."""
        was_open = visit in self
        self._interrupted_s.pop(visit, None)
        return was_open

    def lose(
        self, kept: Collection[str], blamed: Collection[str], reason: str, *, lost_for_s: float, now_s: float
    ) -> list[Interrupted | Failed]:
        """The ear is lost, and sound of the visits in `kept` is there: what is to be said of the visits.

        `blamed`: visits of whose sound it seems to have died. An earlier ear's visit that is blamed fails for good:
        what has ended two ears would end them all.
        """
        told: list[Interrupted | Failed] = []
        for visit, since_s in list(self._interrupted_s.items()):
            if visit not in kept:
                told.append(self._fail(visit, reason))
            elif since_s is None:
                self._interrupted_s[visit] = now_s
                told.append(Interrupted(visit=visit, reason=reason, lost_for_s=round(lost_for_s, 3)))
            elif visit in blamed:
                told.append(self._fail(visit, f"another ear was lost over what was kept of it: {reason}"))
        return told

    def expire(self, now_s: float) -> list[Failed]:
        """What is to be said of visits that have waited too long for an ear."""
        return [
            self._fail(visit, f"no ear could transcribe what was kept of it within {self._keep_s:g} s")
            for visit, since_s in list(self._interrupted_s.items())
            if since_s is not None and now_s - since_s > self._keep_s
        ]

    def _fail(self, visit: str, reason: str) -> Failed:
        del self._interrupted_s[visit]
        return Failed(visit=visit, reason=reason)
