from audio.vigil import EarLimits, Vigil
from audio.vitals import NO_TAG, Vitals, Work

LIMITS = EarLimits(
    start_s=20, stall_s=1, hang_s=5, load_s=120, stuck_s=2, patient_s=20, finish_s=60, steady_s=10, keep_s=600
)


def at_work(work: Work, owed_s: float, beat_s: float | None = None) -> Vitals:
    return Vitals(owed_s if beat_s is None else beat_s, work, owed_s, NO_TAG)


def test_an_ear_without_any_sound_is_given_up_after_the_start() -> None:
    vigil = Vigil(LIMITS, 100.0)
    assert vigil.verdict(119.9) is None
    assert "no sound within 20 s" in (vigil.verdict(120.1) or "")


def test_an_ear_that_goes_deaf_is_given_up_after_a_second() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.heard(101.0)
    assert vigil.verdict(101.9) is None
    assert "no sound has come" in (vigil.verdict(102.1) or "")
    vigil.heard(102.2)
    assert vigil.verdict(102.3) is None


def test_a_model_that_never_loads_is_given_up() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.heard(220.5)
    assert "model was not loaded" in (vigil.verdict(220.6) or "")
    vigil.ready(220.7)
    assert vigil.verdict(220.8) is None


def test_a_further_model_that_never_loads_is_given_up() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.ready(101.0)
    vigil.loading(200.0)
    vigil.heard(319.9)
    assert vigil.verdict(319.9) is None
    vigil.heard(320.1)
    assert "model was not loaded" in (vigil.verdict(320.1) or "")
    vigil.loaded()
    assert vigil.verdict(320.1) is None


def test_an_ear_that_is_to_load_nothing_is_not_waited_for() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.loaded()
    vigil.heard(500.0)
    assert vigil.verdict(500.1) is None


def test_a_transcript_that_never_comes_is_given_up() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.ready(100.0)
    vigil.finishing("a", 101.0)
    vigil.heard(160.5)
    assert vigil.verdict(160.6) is None
    vigil.heard(161.0)
    assert "no transcript within 60 s" in (vigil.verdict(161.1) or "")
    vigil.done("a")
    assert vigil.verdict(161.2) is None


def test_a_recogniser_that_does_no_step_is_given_up() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.ready(100.0)
    vigil.heard(110.0)
    assert vigil.verdict(110.1, at_work(Work.LISTENING, 108.2)) is None
    assert "the recogniser hangs" in (vigil.verdict(110.1, at_work(Work.LISTENING, 108.0)) or "")
    assert vigil.verdict(110.1, at_work(Work.NONE, 10.0)) is None


def test_where_nobody_waits_a_recogniser_may_be_slow() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.ready(100.0)
    vigil.heard(130.0)
    assert vigil.verdict(130.1, at_work(Work.RECOVERING, 110.2)) is None
    assert "for 20 s" in (vigil.verdict(130.1, at_work(Work.RECOVERING, 110.0)) or "")


def test_a_loading_model_is_no_stuck_recogniser() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.heard(190.0)
    assert vigil.verdict(190.1, at_work(Work.LOADING, 101.0)) is None


def test_kept_sound_is_worked_on_without_a_microphone_for_as_long_as_the_ear_lives() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.recovering("a")
    vigil.loaded()
    assert vigil.verdict(160.0, at_work(Work.RECOVERING, 159.9)) is None
    assert "the ear hangs" in (vigil.verdict(160.0, at_work(Work.RECOVERING, 159.9, beat_s=154.9)) or "")
    vigil.done("a")
    assert "no sound within 20 s" in (vigil.verdict(160.0, at_work(Work.NONE, 159.9)) or "")


def test_a_microphone_that_was_there_is_missed_though_kept_sound_is_worked_on() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.recovering("a")
    vigil.heard(101.0)
    assert "no sound has come" in (vigil.verdict(102.1, at_work(Work.RECOVERING, 102.0)) or "")


def test_the_moment_of_a_loss_is_that_of_the_last_sign() -> None:
    vigil = Vigil(LIMITS, 100.0)
    vigil.heard(110.0)
    assert vigil.silent_for_s(111.5, at_work(Work.NONE, 0.0)) == 1.5
    assert vigil.silent_for_s(110.0, at_work(Work.LISTENING, 108.0)) == 2.0
    assert vigil.silent_for_s(110.0, at_work(Work.LOADING, 50.0)) == 0.0
    assert Vigil(LIMITS, 100.0).silent_for_s(101.0, None) == 1.0


def test_an_ear_is_steady_after_its_time_and_not_before_it_is_ready() -> None:
    vigil = Vigil(LIMITS, 100.0)
    assert not vigil.was_steady(200.0)
    vigil.ready(200.0)
    assert not vigil.was_steady(209.0)
    assert vigil.was_steady(210.0)
