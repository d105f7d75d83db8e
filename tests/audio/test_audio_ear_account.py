"""What follows from the loss of an ear: for its visits, for its languages, for who is told. No process."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.ear_account import EarAccount, Loss
from audio.kept_sound import tag_of
from audio.open_visits import OpenVisits
from audio.protocol import (
    EarLost,
    Failed,
    Heartbeat,
    Interrupted,
    LanguageReady,
    LanguageUnusable,
    Level,
    Partial,
    Ready,
    Transcript,
)
from audio.settings import AudioSettings
from audio.vigil import EarLimits
from audio.vitals import NO_TAG, Vitals, Work

LIMITS = EarLimits()
FD = 5
DIED = Loss("it died", died=True)


def transcript(visit: str) -> Transcript:
    return Transcript(
        visit=visit,
        text="hello",
        language="en",
        model="m",
        confidence=1.0,
        words=(),
        audio_s=1.0,
        speech_s=1.0,
        finalise_ms=1.0,
        too_quiet=False,
        too_loud=False,
    )


def working_on(visit: str, now_s: float, *, work: Work = Work.RECOVERING, took_s: float = 0.0) -> Vitals:
    return Vitals(now_s, work, now_s - took_s, tag_of(visit))


def started(now_s: float = 0.0, shared_fd: int | None = FD) -> EarAccount:
    account = EarAccount(AudioSettings(models={"de": "/m/de"}), LIMITS)
    begin(account, now_s, shared_fd)
    return account


def begin(account: EarAccount, now_s: float = 0.0, shared_fd: int | None = FD) -> None:
    start = account.start(shared_fd, now_s)
    assert start.language is not None
    account.take(LanguageReady(language=start.language, model="m", model_is_demonstration=False, memory_mb=10.0), now_s)
    account.take(
        Ready(device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=False, language="en"), now_s
    )
    account.take(Level(dbfs=-50.0, peak=0.1), now_s)


# ---------------------------------------------------------------- visits


def test_a_visit_of_which_sound_is_kept_is_interrupted_and_recovered_by_the_next_ear() -> None:
    account = started()
    assert account.begin("a") is None
    told = account.lose(DIED, ["a"], None, 1.5)
    assert told == [Interrupted(visit="a", reason="it died", lost_for_s=1.5), EarLost(reason="it died")]
    assert account.start(FD, 2.0).recover == ("a",)
    assert account.take(transcript("a"), 3.0) == [transcript("a")]
    assert account.take(transcript("a"), 3.0) == []
    stats = account.stats(None, 0, ())
    assert (stats.interruptions, stats.waiting, stats.transcripts, stats.failures) == (1, 0, 1, 0)


def test_a_visit_of_which_nothing_is_kept_fails() -> None:
    account = started()
    account.begin("a")
    assert account.lose(DIED, [], None, 1.0) == [Failed(visit="a", reason="it died"), EarLost(reason="it died")]
    assert account.begin("b") == Failed(visit="b", reason="it died")


def test_a_visit_over_which_the_next_ear_dies_too_fails_for_good() -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], working_on("a", 1.0, work=Work.LISTENING), 1.0)
    begin(account, 2.0)
    (failed, *_) = account.lose(DIED, ["a"], working_on("a", 3.0), 3.0)
    assert isinstance(failed, Failed)
    assert account.start(FD, 4.0).recover == ()


@pytest.mark.parametrize(
    ("loss", "signs"),
    [
        (Loss("no microphone is plugged in"), working_on("a", 3.0)),
        (Loss("asked to start anew", was_asked=True), working_on("a", 3.0)),
        (DIED, working_on("another", 3.0)),
        (DIED, Vitals(3.0, Work.LOADING, 2.0, tag_of("en"))),
        (DIED, Vitals(3.0, Work.NONE, 2.0, NO_TAG)),
        (DIED, None),
    ],
    ids=["no microphone", "restart", "died of another visit", "died while loading", "died at rest", "died at once"],
)
def test_a_visit_that_an_ear_did_not_die_of_waits_for_the_next(loss: Loss, signs: Vitals | None) -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], None, 1.0)
    begin(account, 2.0)
    assert not any(isinstance(event, Failed | Interrupted) for event in account.lose(loss, ["a"], signs, 3.0))
    assert account.start(FD, 4.0).recover == ("a",)


@pytest.mark.parametrize(
    "signs",
    [
        Vitals(2.0, Work.RECOVERING, 2.0, tag_of("a")),
        Vitals(25.0, Work.RECOVERING, 2.0, tag_of("a")),
    ],
    ids=["the whole ear is held up", "the recogniser alone"],
)
def test_a_visit_over_which_the_next_ear_hangs_fails_for_good(signs: Vitals) -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], None, 1.0)
    begin(account, 2.0)
    now_s = 25.0 if signs.beat_s > 2.0 else 3.0
    assert isinstance(account.lose(Loss("it hangs"), ["a"], signs, now_s)[0], Failed)


def test_without_shared_memory_whoever_dies_has_died_of_everything() -> None:
    account = started(shared_fd=None)
    account.begin("a")
    assert account.lose(DIED, [], None, 1.0)[0] == Failed(visit="a", reason="it died")


def test_a_visit_for_which_no_ear_comes_is_given_up_in_the_end() -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], None, 1.0)
    assert account.expire(601.0) == []
    (failed,) = account.expire(601.1)
    assert failed.visit == "a"
    assert "within 600 s" in failed.reason
    assert account.expire(700.0) == []


def test_a_discarded_visit_is_recovered_by_nobody() -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], None, 1.0)
    account.end("a")
    assert account.start(FD, 2.0).recover == ()
    assert account.take(transcript("a"), 3.0) == []


def test_an_interrupted_visit_cannot_be_finished_once_more() -> None:
    account = started()
    account.begin("a")
    assert account.finish("a", 1.0)
    account.lose(DIED, ["a"], None, 1.0)
    assert not account.finish("a", 1.1)
    begin(account, 2.0)
    assert not account.finish("a", 2.1)


def test_nothing_of_a_visit_that_is_over_is_told() -> None:
    account = started()
    assert account.take(Partial(visit="a", text="i"), 1.0) == []
    account.begin("a")
    assert account.take(Partial(visit="a", text="i"), 1.0) == [Partial(visit="a", text="i")]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["begin", "end", "lose", "blame", "forget", "wait"]))))
def test_whatever_happens_a_visit_is_interrupted_once_and_fails_once(steps: list[tuple[str, str]]) -> None:
    visits, now_s = OpenVisits(600.0), 0.0
    told: list[Interrupted | Failed] = []
    number = {"a": 0, "b": 0}
    for name, step in steps:
        visit = f"{name}{number[name]}"
        if step == "begin":
            visits.begin(visit)
        elif step == "end":
            number[name] += visits.end(visit)
        elif step == "wait":
            now_s += 400.0
            told += visits.expire(now_s)
        else:
            kept = [] if step == "forget" else visits.names
            blamed = [visit] if step == "blame" else []
            told += visits.lose(kept, blamed, "lost", lost_for_s=0.0, now_s=now_s)
        number = {each: number[each] + (f"{each}{number[each]}" not in visits) for each in number}
    interrupted = [event.visit for event in told if isinstance(event, Interrupted)]
    failed = [event.visit for event in told if isinstance(event, Failed)]
    assert len(set(interrupted)) == len(interrupted)
    assert len(set(failed)) == len(failed)
    assert not set(failed) & set(visits.names)
    assert set(visits.interrupted) <= set(interrupted)
    assert set(visits.live) | set(visits.interrupted) == set(visits.names)


# ---------------------------------------------------------------- languages


def test_a_death_while_a_model_is_loaded_makes_its_language_unusable_and_the_good_one_returns() -> None:
    account = started()
    account.languages.want("de", 1.0)
    assert account.ask(1.0) == "de"
    told = account.lose(DIED, [], Vitals(1.5, Work.LOADING, 1.1, NO_TAG), 1.5)
    assert isinstance(told[0], LanguageUnusable)
    assert told[0].language == "de"
    start = account.start(FD, 2.0)
    assert (start.language, start.avoid) == ("en", ("de",))


@pytest.mark.parametrize(
    ("loss", "signs"),
    [
        (DIED, Vitals(1.5, Work.NONE, 1.1, NO_TAG)),
        (DIED, None),
        (Loss("the microphone stopped"), Vitals(1.5, Work.LOADING, 1.1, NO_TAG)),
        (Loss("asked to start anew", was_asked=True), Vitals(1.5, Work.LOADING, 1.1, NO_TAG)),
    ],
    ids=["died of something else", "died at once", "microphone", "restart"],
)
def test_no_language_is_blamed_for_what_it_did_not_do(loss: Loss, signs: Vitals | None) -> None:
    account = started()
    account.languages.want("de", 1.0)
    account.ask(1.0)
    assert not any(isinstance(event, LanguageUnusable) for event in account.lose(loss, [], signs, 1.5))
    assert account.start(FD, 2.0).language == "de"


def test_a_model_that_hangs_while_it_is_loaded_is_blamed() -> None:
    account = started()
    account.languages.want("de", 1.0)
    account.ask(1.0)
    told = account.lose(Loss("the model was not loaded"), [], Vitals(122.0, Work.LOADING, 1.5, NO_TAG), 122.0)
    assert isinstance(told[0], LanguageUnusable)


def test_nobody_who_speaks_is_disturbed_by_the_loading_of_a_model() -> None:
    account = started()
    account.begin("a")
    account.languages.want("de", 1.0)
    assert account.ask(1.0) is None
    account.end("a")
    assert account.ask(1.1) == "de"


def test_a_visit_that_waits_for_a_model_does_not_keep_it_from_being_loaded() -> None:
    account = started()
    account.begin("a")
    account.lose(DIED, ["a"], None, 1.0)
    account.start(FD, 2.0)
    assert account.take(LanguageUnusable(language="en", reason="no such folder"), 2.0) == [
        LanguageUnusable(language="en", reason="no such folder")
    ]
    assert account.ask(2.1) is None
    assert account.ask(3.1) == "en"


def test_an_ear_without_any_language_is_no_ear_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    account = EarAccount(AudioSettings(), LIMITS)
    account.start(FD, 0.0)
    unusable = LanguageUnusable(language="en", reason="no such folder")
    assert account.take(unusable, 1.0) == [unusable, EarLost(reason="no such folder")]
    assert account.take(unusable, 10.0) == []
    assert account.reason == "no such folder"
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_an_ear_that_is_back_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    account = started()
    account.lose(DIED, [], None, 1.0)
    account.start(FD, 2.0)
    assert account.lose(DIED, [], None, 3.0) == []
    begin(account, 4.0)
    account.take(Heartbeat(blocks=7, overflows=1, backlog_s=0.5), 5.0)
    assert sum("is back after 3.0 s" in record.getMessage() for record in caplog.records) == 1
    stats = account.stats(None, 0, ())
    assert (stats.starts, stats.losses, stats.blocks, stats.overflows) == (3, 1, 7, 1)
