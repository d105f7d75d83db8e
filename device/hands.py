"""What the visit demands, carried out: the ear, the panel, the spool and the feed do as they are told."""

import logging
from collections.abc import Callable

from audio.protocol import Transcript
from device.debts import Debts
from device.hours import Opening
from device.language import LanguageButton
from device.parts import Ear, Outbox, Panel, Tell
from device.record import record_of
from device.spool import SpoolError
from device.tally import Tally
from device.visit import effects, events
from device.visit.effects import Why
from device.visit.states import Visit
from firmware_bridge import Button, Scene

log = logging.getLogger(__name__)

LEVEL_FLOOR_DBFS = -60.0
"""Shown as nothing on the panel; the full scale is 0 dBFS."""
_REST = frozenset({Scene.IDLE, Scene.CLOSED, Scene.OUT_OF_SERVICE})


class Hands:
    """Carries out one effect at a time, in the agent's thread."""

    def __init__(
        self,
        *,
        ear: Ear,
        panel: Panel | None,
        spool: Outbox,
        wake_uplink: Callable[[], None],
        language: LanguageButton,
        tell: Tell,
        tally: Tally,
        monotonic: Callable[[], float],
        agent_version: str,
        consent_version: str | None,
    ) -> None:
        self._ear = ear
        self._panel = panel
        self._spool = spool
        self._wake_uplink = wake_uplink
        self._language = language
        self._tell = tell
        self._tally = tally
        self._monotonic = monotonic
        self._agent_version = agent_version
        self._consent_version = consent_version
        self._opening: Opening | None = None
        self._stuck: frozenset[Button] = frozenset()
        self.debts = Debts()

    def carry_out(
        self, effect: effects.Effect, visit: Visit | None, until_s: float | None
    ) -> events.Committed | events.NotCommitted | None:
        """Do what is demanded; a `Commit` is answered.

        ``visit`` is the present one, and ``until_s`` when its phase ends by itself at the latest: the screen shows it.
        """
        match effect:
            case effects.Show(scene=scene):
                self._show(scene, visit, until_s)
            case effects.Decline():
                self._decline(effect)
            case effects.Commit(visit=committed, transcript=transcript):
                return self._commit(committed, transcript)
            case effects.Release(visit=of):
                self.debts.add(self._release, of, self._monotonic())
            case effects.TakeBack(visit=of):
                self.debts.add(self._take_back, of, self._monotonic())
            case effects.TellStuck(buttons=buttons):
                self._tell_stuck(buttons)
            case _:
                self._ask_ear(effect)
        return None

    def show_level(self, dbfs: float) -> None:
        """Show how loud it is."""
        value = round(255 * (1 - max(LEVEL_FLOOR_DBFS, min(0.0, dbfs)) / LEVEL_FLOOR_DBFS))
        if self._panel is not None:
            self._panel.level(value)
        self._tell("level", dbfs=dbfs)

    def tell_opening(self, opening: Opening) -> None:
        """Publish whether the kiosk is open and when that changes, if it is news."""
        before, self._opening = self._opening, opening
        if before is None or (before.is_open, before.changes) != (opening.is_open, opening.changes):
            changes_at = None if opening.changes is None else opening.changes.isoformat(timespec="minutes")
            self._tell("hours", state="hours", is_open=opening.is_open, changes_at=changes_at)

    def _ask_ear(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Listen(visit=visit):
                self._language.visit_begins()
                self._ear.begin(visit)
            case effects.StopListening(visit=visit):
                self._ear.finish(visit)
            case effects.Forget(visit=visit):
                self._ear.discard(visit)
            case effects.ReplaceEar():
                self._ear.restart()

    def _show(self, scene: Scene, visit: Visit | None, until_s: float | None) -> None:
        if self._panel is not None:
            self._panel.show(scene)
        self._tell("scene", state="scene", scene=scene.name.lower(), visit=visit.id if visit else None, until_s=until_s)
        if scene in _REST:
            self._language.rest()

    def _decline(self, declined: effects.Decline) -> None:
        self._tally.declined(declined)
        # The sorry scene that stands beside it says enough.
        if self._panel is not None and declined.why is not Why.NO_ROOM:
            self._panel.answer()
        self._tell("turned_away", button=declined.button.name.lower(), reason=declined.why.value)

    def _tell_stuck(self, buttons: frozenset[Button]) -> None:
        for button in sorted(buttons - self._stuck):
            log.warning("The %s button has been down for too long: it is stuck; free it", button.name.lower())
        for button in sorted(self._stuck - buttons):
            log.info("The %s button is up again", button.name.lower())
        self._stuck = buttons
        names = " ".join(button.name.lower() for button in sorted(buttons))
        self._tell("stuck_buttons", state="stuck_buttons", buttons=names)

    def _release(self, visit: str) -> None:
        self._spool.release(visit)
        self._wake_uplink()

    def _take_back(self, visit: str) -> None:
        self._spool.take_back(visit)
        self._tell("taken_back", visit=visit)

    def _commit(self, visit: Visit, transcript: Transcript) -> events.Committed | events.NotCommitted:
        began_s = self._monotonic()
        try:
            self._spool.add(record_of(visit.id, visit.pressed, transcript, self._agent_version, self._consent_version))
        except SpoolError as error:
            log.error("A feedback could not be kept, its visitor is told: %s", error)  # noqa: TRY400
            return events.NotCommitted(visit.id, self._monotonic())
        done_s = self._monotonic()
        self._tell("committed", visit=visit.id, ms=round((done_s - began_s) * 1000, 2))
        return events.Committed(visit.id, done_s)
