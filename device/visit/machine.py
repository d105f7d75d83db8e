"""The visit's machine: from the press of the button to the thanks, as a pure state machine.

`step` takes the state and an event and gives the new state and the effects; it has no clock, no port and no thread.
Times are seconds of one monotonic clock and come with the events. Whoever drives it calls `step` with a `Tick` no
later than `deadline_s`.

Thanks are shown only after `Committed`, which says that the feedback is safe against a power cut.

Every press of *record* and *cancel* is answered in its own step. A panel does not begin a scene anew that it shows
already, so a press that changes nothing has the lights out for a moment, after which the scene begins again.
"""

from dataclasses import replace

from audio.protocol import Transcript
from device.visit.effects import Commit, Effect, Forget, Listen, Release, ReplaceEar, Show, StopListening, TakeBack
from device.visit.events import (
    Committed,
    Defect,
    EarLost,
    EarReady,
    Event,
    Heard,
    Interrupted,
    NotCommitted,
    NothingSaid,
    NotTranscribed,
    Opening,
    Pressed,
    Released,
    SpeechEnded,
    Tick,
)
from device.visit.limits import Limits
from device.visit.states import (
    Answer,
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
    scene_of,
)
from firmware_bridge import Button, Scene

Step = tuple[State, tuple[Effect, ...]]

DARK = Scene.CLOSED
_ANSWERS: dict[type[Phase], Scene] = {OutOfService: Scene.SORRY, Closed: Scene.OUT_OF_SERVICE}
"""To a press where no visit can begin; elsewhere the lights go out for a moment."""


def deadline_s(state: State, limits: Limits) -> float | None:
    """Return when the next `Tick` is due, or None if nothing happens by time alone."""
    dues_s = (_phase_due_s(state.phase, limits), None if state.answer is None else state.answer.until_s)
    return min((due_s for due_s in dues_s if due_s is not None), default=None)


def _phase_due_s(phase: Phase, limits: Limits) -> float | None:
    match phase:
        case Recording(started_s=started_s):
            return started_s + limits.speech_max_s
        case Finishing(due_s=due_s):
            return due_s
        case Thanks(until_s=until_s) | Notice(until_s=until_s):
            return until_s
        case _:
            return None


def step(state: State, event: Event, limits: Limits) -> Step:
    """Return the state after ``event``, and the effects in the order in which they must be carried out.

    Events of another visit than the present one change nothing, unless its words were still to come.
    """
    after, todo = _take(state, event, limits)
    if any(isinstance(effect, Show) for effect in todo):
        return replace(after, answer=None), todo
    match event:
        case Pressed(button=Button.RECORD | Button.CANCEL, at_s=at_s):
            after, answer = _answer(after, at_s, limits)
            return after, (*todo, answer)
        case Tick(at_s=at_s) if after.answer is not None and at_s >= after.answer.until_s:
            return replace(after, answer=None), (*todo, Show(scene_of(after.phase)))
        case _:
            return after, todo


def _answer(state: State, at_s: float, limits: Limits) -> tuple[State, Show]:
    if state.answer is not None:
        # Only another scene can be seen: it is the phase's own.
        return replace(state, answer=None), Show(scene_of(state.phase))
    scene = _ANSWERS.get(type(state.phase), DARK)
    lasts_s = limits.blink_s if scene is DARK else limits.answer_s
    return replace(state, answer=Answer(scene, at_s + lasts_s)), Show(scene)


def _take(state: State, event: Event, limits: Limits) -> Step:
    match event:
        case EarReady() | EarLost() | Opening() | Defect():
            return _circumstances(state, event, limits)
        case Heard(visit=of) | NotTranscribed(visit=of) | Committed(visit=of) | NotCommitted(visit=of) if of in (
            visit.id for visit in state.late
        ):
            return _late(state, event)
    match state.phase:
        case Idle() | Notice():
            return _waiting(state, event, limits)
        case Recording() as recording:
            return _recording(state, recording, event, limits)
        case Finishing() as finishing:
            return _finishing(state, finishing, event, limits)
        case Thanks() as thanks:
            return _thanks(state, thanks, event, limits)
        case OutOfService() | Closed():
            return state, ()


def _circumstances(state: State, event: EarReady | EarLost | Opening | Defect, limits: Limits) -> Step:
    match event:
        case EarReady():
            return _ear_ready(replace(state, can_hear=True))
        case EarLost(at_s=at_s):
            return _ear_lost(replace(state, can_hear=False), at_s, limits)
        case Opening(is_open=is_open):
            return _opening(replace(state, is_open=is_open))
        case Defect(at_s=at_s):
            return _defect(state, at_s, limits)


def _opening(state: State) -> Step:
    """Open or close; a visit that is under way ends first, with its closing scene."""
    rested, todo = _rest(state)
    at_rest = isinstance(state.phase, Idle | OutOfService | Closed)
    return (rested, todo) if at_rest and rested.phase != state.phase else (state, ())


def _defect(state: State, at_s: float, limits: Limits) -> Step:
    match state.phase:
        case Recording(visit=visit) | Finishing(visit=visit):
            return _after(Forget(visit.id), _notice(state, Scene.SORRY, at_s, limits))
        case phase:
            return state, (Show(scene_of(phase)),)


def _ear_ready(state: State) -> Step:
    return _rest(state) if isinstance(state.phase, OutOfService) else (state, ())


def _ear_lost(state: State, at_s: float, limits: Limits) -> Step:
    match state.phase:
        case Finishing(interrupted=True):
            return state, ()
        case Recording() | Finishing():
            return _notice(state, Scene.SORRY, at_s, limits)
        case Idle():
            return _rest(state)
        case _:
            return state, ()


def _waiting(state: State, event: Event, limits: Limits) -> Step:
    match state.phase, event:
        case _, Pressed(button=Button.RECORD) as pressed:
            return _begin(state, pressed, limits)
        case Notice(late=Visit() as visit), Pressed(button=Button.CANCEL, at_s=at_s) if visit in state.late:
            return _after(Forget(visit.id), _notice(_without(state, visit.id), Scene.DISCARDED, at_s, limits))
        case Notice(until_s=until_s), Tick(at_s=at_s) if at_s >= until_s:
            return _rest(state)
        case _:
            return state, ()


def _recording(state: State, recording: Recording, event: Event, limits: Limits) -> Step:
    visit, started_s = recording.visit, recording.started_s
    this = visit.id
    hands_free = recording.press is Press.TAPPED
    match event:
        case Pressed(button=Button.CANCEL, at_s=at_s):
            return _after(Forget(this), _notice(state, Scene.DISCARDED, at_s, limits))
        case Pressed(button=Button.RECORD, at_s=at_s):
            return _finish(state, visit, at_s, limits)
        case Released(button=Button.RECORD, at_s=at_s) if not hands_free:
            if at_s - started_s > limits.hold_s:
                return _finish(state, visit, at_s, limits)
            return replace(state, phase=replace(recording, press=Press.TAPPED)), ()
        case SpeechEnded(visit=of, at_s=at_s) if of == this and hands_free:
            return _finish(state, visit, at_s, limits)
        case NothingSaid(visit=of, at_s=at_s) if of == this and hands_free:
            return _after(Forget(this), _notice(state, Scene.NOTHING_HEARD, at_s, limits))
        case NotTranscribed(visit=of, at_s=at_s) if of == this:
            return _after(Forget(this), _notice(state, Scene.SORRY, at_s, limits))
        case Interrupted(visit=of, lost_s=lost_s) if of == this:
            return _interrupted(state, visit, lost_s, limits), (Show(Scene.FINISHING),)
        case Tick(at_s=at_s) if at_s >= started_s + limits.speech_max_s:
            return _finish(state, visit, at_s, limits)
        case _:
            return state, ()


def _finishing(state: State, finishing: Finishing, event: Event, limits: Limits) -> Step:
    visit, this = finishing.visit, finishing.visit.id
    match event:
        case Heard(visit=of, transcript=Transcript() as transcript) if of == this:
            return state, (Commit(visit, transcript),)
        case Heard(visit=of, at_s=at_s) if of == this:
            return _notice(state, Scene.NOTHING_HEARD, at_s, limits)
        case Committed(visit=of, at_s=at_s) if of == this:
            thanks = Thanks(visit, at_s + limits.thanks_s)
            return replace(state, phase=thanks, free_s=at_s + limits.interval_s), (Show(Scene.THANKS),)
        case NotTranscribed(visit=of, at_s=at_s) | NotCommitted(visit=of, at_s=at_s) if of == this:
            return _after(Forget(this), _notice(state, Scene.SORRY, at_s, limits))
        case Pressed(button=Button.CANCEL, at_s=at_s):
            return _after(Forget(this), _notice(state, Scene.DISCARDED, at_s, limits))
        case Interrupted(visit=of, lost_s=lost_s) if of == this:
            return _interrupted(state, visit, lost_s, limits), ()
        case Tick(at_s=at_s) if at_s >= finishing.due_s:
            then = _notice(replace(state, late=(*state.late, visit)), Scene.SORRY, at_s, limits, late=visit)
            # A new ear is at work on it already, or this one must give way to one.
            return then if finishing.interrupted else _after(ReplaceEar(), then)
        case _:
            return state, ()


def _thanks(state: State, thanks: Thanks, event: Event, limits: Limits) -> Step:
    release = Release(thanks.visit.id)
    match event:
        case Pressed(button=Button.CANCEL, at_s=at_s):
            return _after(TakeBack(thanks.visit.id), _notice(state, Scene.DISCARDED, at_s, limits))
        case Pressed(button=Button.RECORD, at_s=at_s) as pressed if at_s >= state.free_s:
            return _after(release, _begin(state, pressed, limits))
        case Tick(at_s=at_s) if at_s >= thanks.until_s:
            return _after(release, _rest(state))
        case _:
            return state, ()


def _begin(state: State, pressed: Pressed, limits: Limits) -> Step:
    visit, at_s = pressed.fresh, pressed.at_s
    if not (state.can_hear and state.is_open):
        return _rest(state)
    if at_s < state.free_s:
        return state, ()
    if pressed.refusal is not None:
        return _refuse(state, at_s + limits.notice_s)
    # Light before sound: the visitor's acknowledgement must not wait for the ear.
    return replace(state, phase=Recording(visit, at_s)), (Show(Scene.RECORDING), Listen(visit.id))


def _refuse(state: State, until_s: float) -> Step:
    match state.phase:
        case Notice(scene=Scene.SORRY) as notice:
            return replace(state, phase=replace(notice, until_s=until_s)), ()
        case _:
            return replace(state, phase=Notice(Scene.SORRY, until_s)), (Show(Scene.SORRY),)


def _finish(state: State, visit: Visit, at_s: float, limits: Limits) -> Step:
    finishing = Finishing(visit, at_s + limits.finishing_max_s)
    return replace(state, phase=finishing), (StopListening(visit.id), Show(Scene.FINISHING))


def _interrupted(state: State, visit: Visit, lost_s: float, limits: Limits) -> State:
    return replace(state, phase=Finishing(visit, lost_s + limits.interrupted_max_s, interrupted=True))


def _late(state: State, event: Event) -> Step:
    """Take words that come after their visitor was told that it did not work: they are kept, and nobody is thanked."""
    match event:
        case Heard(visit=of, transcript=Transcript() as transcript):
            visit = next(visit for visit in state.late if visit.id == of)
            return state, (Commit(visit, transcript),)
        case Committed(visit=of):
            return _without(state, of), (Release(of),)
        case Heard(visit=of) | NotTranscribed(visit=of) | NotCommitted(visit=of):
            return _without(state, of), ()
        case _:
            return state, ()


def _without(state: State, visit: str) -> State:
    return replace(state, late=tuple(late for late in state.late if late.id != visit))


def _notice(state: State, scene: Scene, at_s: float, limits: Limits, *, late: Visit | None = None) -> Step:
    notice = Notice(scene, at_s + limits.notice_s, late)
    return replace(state, phase=notice, free_s=at_s + limits.interval_s), (Show(scene),)


def _rest(state: State) -> Step:
    phase: Phase = Closed() if not state.is_open else Idle() if state.can_hear else OutOfService()
    return replace(state, phase=phase), (Show(scene_of(phase)),)


def _after(first: Effect, then: Step) -> Step:
    state, effects = then
    return state, (first, *effects)
