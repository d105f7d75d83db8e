"""Every step that the machine can take, found by taking it: each kind of phase meets each kind of event."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from audio.protocol import Transcript
from device.clock import Stamp
from device.visit import effects, events
from device.visit.effects import Decline, Effect, Show
from device.visit.limits import Limits
from device.visit.machine import phase_ends_s, step
from device.visit.states import (
    Closed,
    Finishing,
    Idle,
    Notice,
    OutOfService,
    Phase,
    Press,
    Recording,
    State,
    Thanks,
    Visit,
    name_of,
)
from firmware_bridge import Button, Scene

NOW_S = 1_000.0
LIMITS = Limits()
_VISIT = Visit("visit", Stamp(boot_id="boot", since_boot_s=NOW_S, wall_s=NOW_S, synchronised=True))
_NEXT = Visit("next", _VISIT.pressed)
_WORDS = Transcript(
    visit="visit",
    text="words",
    language="en",
    model="model",
    confidence=1.0,
    words=(),
    audio_s=1.0,
    speech_s=1.0,
    finalise_ms=1.0,
    too_quiet=False,
    too_loud=False,
)
_SPOKEN = Recording(_VISIT, NOW_S - 5.0, Press.TAPPED)

PHASES: dict[str, dict[str, Phase]] = {
    "idle": {"": Idle()},
    "recording": {
        "after a tap": _SPOKEN,
        "after a hold": replace(_SPOKEN, press=Press.DOWN),
        "after a moment": replace(_SPOKEN, press=Press.DOWN, started_s=NOW_S),
    },
    "finishing": {
        "while the ear is there": Finishing(_VISIT, NOW_S + 5.0),
        "while a new ear works on it": Finishing(_VISIT, NOW_S + 5.0, interrupted=True),
    },
    "thanks": {"": Thanks(_VISIT, NOW_S + 2.0)},
    "notice": {
        "while words may still come": Notice(Scene.SORRY, NOW_S + 2.0, _VISIT),
        "otherwise": Notice(Scene.DISCARDED, NOW_S + 2.0),
    },
    "closed": {"": Closed()},
    "out_of_service": {"": OutOfService()},
}
"""Each phase in the forms that make a difference, and what they are called where they do."""


def _pressed(button: Button) -> events.Pressed:
    return events.Pressed(button, NOW_S, _NEXT)


@dataclass(frozen=True, slots=True)
class Circumstance:
    """What may be so beside the phase, and in which phases it can be."""

    words: str
    change: Callable[[State], State]
    phases: frozenset[str]
    refusal: str | None = None
    """What the spool says at a press."""


_VISITED = frozenset({"recording", "finishing", "thanks", "notice"})
PLAIN = Circumstance("", lambda state: state, frozenset(PHASES))
TOO_SOON = Circumstance(
    " right after a visit", lambda state: replace(state, ended_s=NOW_S - 0.1), frozenset({"idle", "thanks", "notice"})
)
AFTER_HOURS = Circumstance(" after closing time", lambda state: replace(state, is_open=False), _VISITED)
NO_ROOM = Circumstance(
    ", and a feedback could not be kept", lambda state: state, frozenset({"idle", "thanks", "notice"}), "full"
)
WITHOUT_EAR = Circumstance(", and the ear is lost", lambda state: replace(state, can_hear=False), _VISITED | {"closed"})

_RECORD = _pressed(Button.RECORD)
HAPPENINGS: tuple[tuple[str, events.Event | None, tuple[Circumstance, ...]], ...] = (
    ("*record* is pressed", _RECORD, (PLAIN, TOO_SOON, NO_ROOM, AFTER_HOURS, WITHOUT_EAR)),
    ("*cancel* is pressed", _pressed(Button.CANCEL), (PLAIN,)),
    ("*language* is pressed", _pressed(Button.LANGUAGE), (PLAIN,)),
    ("*reply* is pressed", _pressed(Button.REPLY), (PLAIN,)),
    ("*record* is released", events.Released(Button.RECORD, NOW_S), (PLAIN,)),
    ("a pause after speech", events.SpeechEnded("visit", NOW_S), (PLAIN,)),
    ("nothing is said", events.NothingSaid("visit", NOW_S), (PLAIN,)),
    ("words are recognised", events.Heard("visit", NOW_S, _WORDS), (PLAIN,)),
    ("no word is recognised", events.Heard("visit", NOW_S, None), (PLAIN,)),
    ("it cannot be transcribed", events.NotTranscribed("visit", NOW_S), (PLAIN,)),
    ("the feedback is safe in the spool", events.Committed("visit", NOW_S), (PLAIN,)),
    ("the spool cannot keep it", events.NotCommitted("visit", NOW_S), (PLAIN,)),
    ("the ear is lost, and what was said is kept", events.Interrupted("visit", NOW_S), (PLAIN,)),
    ("the ear is lost", events.EarLost(NOW_S), (PLAIN,)),
    ("the ear hears", events.EarReady(NOW_S), (PLAIN,)),
    ("closing time", events.ClosingTime(NOW_S), (PLAIN,)),
    ("opening time", events.Opened(NOW_S), (PLAIN, WITHOUT_EAR)),
    ("a defect of the program", events.Defect(NOW_S), (PLAIN,)),
    ("its time is over", None, (PLAIN, AFTER_HOURS, WITHOUT_EAR)),
)
"""What can happen, and in which circumstances; None is the moment at which the phase ends by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the machine makes of a happening."""

    then: str
    """The phase afterwards."""
    shown: Scene | None
    why: effects.Why | None
    """Why a press does nothing, where it does."""
    todo: tuple[Effect, ...]
    """What else is demanded, in order."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A happening in a phase that changes or demands something."""

    phase: str
    happening: str
    outcome: Outcome


def transitions() -> Iterator[Transition]:
    """Yield every step that changes or demands something, each once, by phase."""
    for phase, forms in PHASES.items():
        for happening, event, circumstances in HAPPENINGS:
            plain = {form: _take(phase, forms[form], event, PLAIN) for form in forms}
            for circumstance in circumstances:
                if phase not in circumstance.phases:
                    continue
                found = {form: _take(phase, forms[form], event, circumstance) for form in forms}
                if circumstance is PLAIN or found != plain:
                    yield from _named(phase, happening + circumstance.words, found)


def merged() -> dict[str, dict[Outcome, list[str]]]:
    """Return what happens in each phase; happenings with the same outcome stand together."""
    found: dict[str, dict[Outcome, list[str]]] = {name: {} for name in PHASES}
    for one in transitions():
        found[one.phase].setdefault(one.outcome, []).append(one.happening)
    return found


def _named(phase: str, happening: str, found: dict[str, Outcome | None]) -> Iterator[Transition]:
    """Yield the outcomes of the forms of a phase; where they differ, the form belongs to the happening."""
    is_one = len(set(found.values())) == 1
    for number, (form, outcome) in enumerate(found.items()):
        if outcome is not None and not (is_one and number):
            yield Transition(phase, happening if is_one else f"{happening} ({form})", outcome)


def _take(name: str, form: Phase, event: events.Event | None, circumstance: Circumstance) -> Outcome | None:
    is_late = isinstance(form, Notice) and form.late is not None
    state = circumstance.change(
        State(
            form,
            can_hear=not isinstance(form, OutOfService),
            is_open=not isinstance(form, Closed),
            late=(_VISIT,) if is_late else (),
        )
    )
    if event is None:
        ends_s = phase_ends_s(state, LIMITS)
        if ends_s is None:
            return None
        event = events.Tick(ends_s)
    if isinstance(event, events.Pressed):
        event = replace(event, refusal=circumstance.refusal)
    after, todo = step(state, event, LIMITS)
    if not todo and name_of(after.phase) == name:
        return None
    return Outcome(
        then=name_of(after.phase),
        shown=next((effect.scene for effect in todo if isinstance(effect, Show)), None),
        why=next((effect.why for effect in todo if isinstance(effect, Decline)), None),
        todo=tuple(effect for effect in todo if not isinstance(effect, Show | Decline)),
    )
