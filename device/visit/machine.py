"""The visit's machine: from the press of the button to the thanks, as a pure state machine.

`step` takes the state and an event and gives the new state and the effects; it has no clock, no port and no thread.
Times are seconds of one monotonic clock and come with the events. Whoever drives it calls `step` with a `Tick` no
later than `deadline_s`.

Thanks are shown only after `Committed`, which says that the feedback is safe against a power cut.
"""

from dataclasses import replace

from audio.protocol import Transcript
from device.visit.effects import Commit, Effect, Forget, Listen, Release, ReplaceEar, Show, StopListening, TakeBack
from device.visit.events import (
    Committed,
    EarLost,
    EarReady,
    Event,
    Heard,
    Interrupted,
    NotCommitted,
    NothingSaid,
    NotTranscribed,
    Pressed,
    Released,
    SpeechEnded,
    Tick,
)
from device.visit.limits import Limits
from device.visit.states import Finishing, Idle, Notice, OutOfService, Press, Recording, State, Thanks, Visit
from firmware_bridge import Button, Scene

Step = tuple[State, tuple[Effect, ...]]


def deadline_s(state: State, limits: Limits) -> float | None:
    """Return when the next `Tick` is due, or None if nothing happens by time alone."""
    match state.phase:
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
    match event:
        case EarReady():
            return _ear_ready(replace(state, can_hear=True))
        case EarLost(at_s=at_s):
            return _ear_lost(replace(state, can_hear=False), at_s, limits)
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
        case OutOfService():
            return state, ()


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
        case _, Pressed(button=Button.RECORD, at_s=at_s, fresh=visit):
            return _begin(state, visit, at_s)
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
            return replace(state, phase=Thanks(visit, at_s + limits.thanks_s)), (Show(Scene.THANKS),)
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
        case Pressed(button=Button.RECORD, at_s=at_s, fresh=visit):
            return _after(release, _begin(state, visit, at_s))
        case Tick(at_s=at_s) if at_s >= thanks.until_s:
            return _after(release, _rest(state))
        case _:
            return state, ()


def _begin(state: State, visit: Visit, at_s: float) -> Step:
    if not state.can_hear:
        return _rest(state)
    # Light before sound: the visitor's acknowledgement must not wait for the ear.
    return replace(state, phase=Recording(visit, at_s)), (Show(Scene.RECORDING), Listen(visit.id))


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
    return replace(state, phase=Notice(scene, at_s + limits.notice_s, late)), (Show(scene),)


def _rest(state: State) -> Step:
    if state.can_hear:
        return replace(state, phase=Idle()), (Show(Scene.IDLE),)
    return replace(state, phase=OutOfService()), (Show(Scene.OUT_OF_SERVICE),)


def _after(first: Effect, then: Step) -> Step:
    state, effects = then
    return state, (first, *effects)
