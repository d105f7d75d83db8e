"""The visit's machine: from the press of the button to the thanks, as a pure state machine.

`step` takes the state and an event and gives the new state and the effects; it has no clock, no port and no thread.
Times are seconds of one monotonic clock and come with the events. Whoever drives it calls `step` with a `Tick` no
later than `deadline_s`.

Thanks are shown only after `Committed`, which says that the feedback is safe against a power cut. Every press of a
button is answered in the same step, by another scene or by `Decline`; only *language*, while nobody speaks, is
answered by whoever changes the language.
"""

from dataclasses import replace

from device.visit import phases
from device.visit.effects import TellStuck
from device.visit.events import (
    ClosingTime,
    Committed,
    Defect,
    EarLost,
    EarReady,
    Event,
    FoundDown,
    Heard,
    Interrupted,
    NotCommitted,
    NotTranscribed,
    Opened,
    Pressed,
    Released,
    Tick,
)
from device.visit.limits import Limits
from device.visit.phases import Step
from device.visit.states import Closed, Finishing, Idle, Notice, OutOfService, Recording, State, Thanks
from firmware_bridge import Button, Scene


def deadline_s(state: State, limits: Limits) -> float | None:
    """Return when the next `Tick` is due, or None if nothing happens by time alone."""
    dues_s = (phase_ends_s(state, limits), state.buttons.due_s(limits.stuck_s, _used(state)))
    return min((due_s for due_s in dues_s if due_s is not None), default=None)


def phase_ends_s(state: State, limits: Limits) -> float | None:
    """Return when the phase ends by itself at the latest, or None if it is one in which the kiosk rests."""
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
    stuck = state.buttons.stuck
    after, effects = _react(_with_buttons(state, event, limits), event, limits)
    after = _with_times(state, after, event)
    if after.buttons.stuck != stuck:
        effects = (*effects, TellStuck(after.buttons.stuck))
    return after, effects


def rested(state: State) -> Step:
    """Return the state in which the kiosk rests, whatever it did, and its scene."""
    return phases.rest(state)


def _with_buttons(state: State, event: Event, limits: Limits) -> State:
    match event:
        case Pressed(button=button, at_s=at_s) | FoundDown(button=button, at_s=at_s):
            return replace(state, buttons=state.buttons.down(button, at_s))
        case Released(button=button):
            return replace(state, buttons=state.buttons.up(button))
        case Tick(at_s=at_s):
            return replace(state, buttons=state.buttons.at(at_s, limits.stuck_s, _used(state)))
        case _:
            return state


def _used(state: State) -> Button | None:
    """Return the button that may be held for as long as a recording lasts."""
    return Button.RECORD if isinstance(state.phase, Recording) else None


def _with_times(before: State, after: State, event: Event) -> State:
    """Return the state with the end of its visit, and with the record button timed from then, if this was one."""
    at_s = event.lost_s if isinstance(event, Interrupted) else event.at_s
    if isinstance(before.phase, Recording) and not isinstance(after.phase, Recording):
        after = replace(after, buttons=after.buttons.timed_anew(Button.RECORD, at_s))
    was_visited = isinstance(before.phase, Recording | Finishing | Thanks)
    if was_visited and isinstance(after.phase, Thanks | Notice) and after.phase is not before.phase:
        after = replace(after, ended_s=at_s)
    return after


def _react(state: State, event: Event, limits: Limits) -> Step:
    match event:
        case EarReady():
            return _at_rest(replace(state, can_hear=True))
        case EarLost(at_s=at_s):
            return _ear_lost(replace(state, can_hear=False), at_s, limits)
        case Opened():
            return _at_rest(replace(state, is_open=True))
        case ClosingTime():
            return _at_rest(replace(state, is_open=False))
        case Heard(visit=of) | NotTranscribed(visit=of) | Committed(visit=of) | NotCommitted(visit=of) if of in (
            visit.id for visit in state.late
        ):
            return phases.late(state, event)
        case Defect(at_s=at_s):
            return phases.failed(state, at_s, limits)
    return _in_phase(state, event, limits)


def _in_phase(state: State, event: Event, limits: Limits) -> Step:
    match state.phase:
        case Idle() | Notice():
            return phases.waiting(state, event, limits)
        case Recording() as recording:
            return phases.recording(state, recording, event, limits)
        case Finishing() as finishing:
            return phases.finishing(state, finishing, event, limits)
        case Thanks() as thanks:
            return phases.thanks(state, thanks, event, limits)
        case Closed() | OutOfService():
            return phases.shut(state, event)


def _at_rest(state: State) -> Step:
    """Let a kiosk at rest show what has changed; a visit goes on to its end."""
    if not isinstance(state.phase, Idle | Closed | OutOfService):
        return state, ()
    then = phases.rest(state)
    return then if then[0].phase != state.phase else (state, ())


def _ear_lost(state: State, at_s: float, limits: Limits) -> Step:
    match state.phase:
        case Finishing(interrupted=True):
            return state, ()
        case Recording() | Finishing():
            return phases.notice(state, Scene.SORRY, at_s, limits)
        case _:
            return _at_rest(state)
