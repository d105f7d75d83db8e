"""What each phase of a visit makes of an event. Pure, as the machine whose parts they are."""

from dataclasses import replace

from audio.protocol import Transcript
from device.visit.effects import (
    Commit,
    Decline,
    Effect,
    Forget,
    Listen,
    Release,
    ReplaceEar,
    Show,
    StopListening,
    TakeBack,
    Why,
)
from device.visit.events import (
    Committed,
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
from device.visit.states import Closed, Finishing, Idle, Notice, OutOfService, Press, Recording, State, Thanks, Visit
from firmware_bridge import Button, Scene

Step = tuple[State, tuple[Effect, ...]]


def waiting(state: State, event: Event, limits: Limits) -> Step:
    """Idle, or the end of a visit is shown without a feedback: the next visit can begin."""
    match state.phase, event:
        case _, Pressed(button=Button.RECORD):
            return _begin(state, event, limits)
        case Notice(late=Visit() as visit), Pressed(button=Button.CANCEL, at_s=at_s) if visit in state.late:
            return _after(Forget(visit.id), notice(_without(state, visit.id), Scene.DISCARDED, at_s, limits))
        case _, Pressed(button=Button.LANGUAGE):
            return state, ()
        case _, Pressed(button=button):
            return state, (Decline(button, Why.NO_USE),)
        case Notice(until_s=until_s), Tick(at_s=at_s) if at_s >= until_s:
            return rest(state)
        case _:
            return state, ()


def recording(state: State, phase: Recording, event: Event, limits: Limits) -> Step:
    """A visitor speaks."""
    this = phase.visit.id
    hands_free = phase.press is Press.TAPPED
    match event:
        case Pressed():
            return _pressed_while_recording(state, phase, event, limits)
        case Released(button=Button.RECORD, at_s=at_s) if not hands_free:
            if at_s - phase.started_s > limits.hold_s:
                return _finish(state, phase.visit, at_s, limits)
            return replace(state, phase=replace(phase, press=Press.TAPPED)), ()
        case SpeechEnded(visit=of, at_s=at_s) if of == this and hands_free:
            return _finish(state, phase.visit, at_s, limits)
        case NothingSaid(visit=of, at_s=at_s) if of == this and hands_free:
            return _after(Forget(this), notice(state, Scene.NOTHING_HEARD, at_s, limits))
        case NotTranscribed(visit=of, at_s=at_s) if of == this:
            return _after(Forget(this), notice(state, Scene.SORRY, at_s, limits))
        case Interrupted(visit=of, lost_s=lost_s) if of == this:
            return _interrupted(state, phase.visit, lost_s, limits), (Show(Scene.FINISHING),)
        case Tick(at_s=at_s) if at_s >= phase.started_s + limits.speech_max_s:
            return _finish(state, phase.visit, at_s, limits)
        case _:
            return state, ()


def _pressed_while_recording(state: State, phase: Recording, pressed: Pressed, limits: Limits) -> Step:
    match pressed.button:
        case Button.CANCEL:
            return _after(Forget(phase.visit.id), notice(state, Scene.DISCARDED, pressed.at_s, limits))
        case Button.RECORD:
            return _finish(state, phase.visit, pressed.at_s, limits)
        case button:
            return state, (Decline(button, Why.BUSY),)


def finishing(state: State, phase: Finishing, event: Event, limits: Limits) -> Step:
    """The last words and the commit are awaited."""
    visit, this = phase.visit, phase.visit.id
    match event:
        case Heard(visit=of, transcript=Transcript() as transcript) if of == this:
            return state, (Commit(visit, transcript),)
        case Heard(visit=of, at_s=at_s) if of == this:
            return notice(state, Scene.NOTHING_HEARD, at_s, limits)
        case Committed(visit=of, at_s=at_s) if of == this:
            return replace(state, phase=Thanks(visit, at_s + limits.thanks_s)), (Show(Scene.THANKS),)
        case NotTranscribed(visit=of, at_s=at_s) | NotCommitted(visit=of, at_s=at_s) if of == this:
            return _after(Forget(this), notice(state, Scene.SORRY, at_s, limits))
        case Pressed(button=Button.CANCEL, at_s=at_s):
            return _after(Forget(this), notice(state, Scene.DISCARDED, at_s, limits))
        case Pressed(button=button):
            return state, (Decline(button, Why.BUSY),)
        case Interrupted(visit=of, lost_s=lost_s) if of == this:
            return _interrupted(state, visit, lost_s, limits), ()
        case Tick(at_s=at_s) if at_s >= phase.due_s:
            then = notice(replace(state, late=(*state.late, visit)), Scene.SORRY, at_s, limits, late_visit=visit)
            # A new ear is at work on it already, or this one must give way to one.
            return then if phase.interrupted else _after(ReplaceEar(), then)
        case _:
            return state, ()


def thanks(state: State, phase: Thanks, event: Event, limits: Limits) -> Step:
    """The feedback is durable; for a while it can be taken back."""
    release = Release(phase.visit.id)
    match event:
        case Pressed(button=Button.CANCEL, at_s=at_s):
            return _after(TakeBack(phase.visit.id), notice(state, Scene.DISCARDED, at_s, limits))
        case Pressed(button=Button.RECORD):
            after, effects = _begin(state, event, limits)
            # The next visitor's light must not wait for the disk.
            return after, effects if after.phase is phase else (*effects, release)
        case Pressed(button=button):
            return state, (Decline(button, Why.BUSY),)
        case Tick(at_s=at_s) if at_s >= phase.until_s:
            return _after(release, rest(state))
        case _:
            return state, ()


def shut(state: State, event: Event) -> Step:
    """Closed or out of service: no visit can begin, whatever is pressed."""
    match event:
        case Pressed(button=button):
            why = Why.CLOSED if isinstance(state.phase, Closed) else Why.OUT_OF_SERVICE
            return state, (Decline(button, why),)
        case _:
            return state, ()


def late(state: State, event: Event) -> Step:
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


def failed(state: State, at_s: float, limits: Limits) -> Step:
    """Something of this visit failed by a defect: its visitor is told. Who has been thanked has been heard."""
    match state.phase:
        case Recording(visit=visit) | Finishing(visit=visit):
            return _after(Forget(visit.id), notice(state, Scene.SORRY, at_s, limits))
        case _:
            return state, ()


def notice(state: State, scene: Scene, at_s: float, limits: Limits, *, late_visit: Visit | None = None) -> Step:
    """Show the end of a visit without a feedback."""
    return replace(state, phase=Notice(scene, at_s + limits.notice_s, late_visit)), (Show(scene),)


def rest(state: State) -> Step:
    """Rest as the kiosk can: a closed one tells nobody to call the staff."""
    if not state.is_open:
        return replace(state, phase=Closed()), (Show(Scene.CLOSED),)
    if not state.can_hear:
        return replace(state, phase=OutOfService()), (Show(Scene.OUT_OF_SERVICE),)
    return replace(state, phase=Idle()), (Show(Scene.IDLE),)


def _begin(state: State, pressed: Pressed, limits: Limits) -> Step:
    why = _why_not(state, pressed, limits)
    match why:
        case None:
            visit = pressed.fresh
            # Light before sound: the visitor's acknowledgement must not wait for the ear.
            return replace(state, phase=Recording(visit, pressed.at_s)), (Show(Scene.RECORDING), Listen(visit.id))
        case Why.NO_ROOM:
            after, effects = notice(state, Scene.SORRY, pressed.at_s, limits)
            return after, (*effects, Decline(pressed.button, why))
        case _:
            return state, (Decline(pressed.button, why),)


def _why_not(state: State, pressed: Pressed, limits: Limits) -> Why | None:
    if not state.is_open:
        return Why.CLOSED
    if not state.can_hear:
        return Why.OUT_OF_SERVICE
    if state.ended_s is not None and pressed.at_s < state.ended_s + limits.interval_s:
        return Why.TOO_SOON
    return None if pressed.refusal is None else Why.NO_ROOM


def _finish(state: State, visit: Visit, at_s: float, limits: Limits) -> Step:
    phase = Finishing(visit, at_s + limits.finishing_max_s)
    return replace(state, phase=phase), (StopListening(visit.id), Show(Scene.FINISHING))


def _interrupted(state: State, visit: Visit, lost_s: float, limits: Limits) -> State:
    return replace(state, phase=Finishing(visit, lost_s + limits.interrupted_max_s, interrupted=True))


def _without(state: State, visit: str) -> State:
    return replace(state, late=tuple(one for one in state.late if one.id != visit))


def _after(first: Effect, then: Step) -> Step:
    state, effects = then
    return state, (first, *effects)
