from audio.vigil import EarLimits, Vigil

LIMITS = EarLimits(start_s=20, stall_s=1, load_s=120, finish_s=60, steady_s=10)


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


def test_an_ear_is_steady_after_its_time_and_not_before_it_is_ready() -> None:
    vigil = Vigil(LIMITS, 100.0)
    assert not vigil.was_steady(200.0)
    vigil.ready(200.0)
    assert not vigil.was_steady(209.0)
    assert vigil.was_steady(210.0)
