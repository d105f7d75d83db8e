from hypothesis import given
from hypothesis import strategies as st

from device.language import CHOICE_S, Choice, another, at, kept, own

LANGUAGES = ("en", "de", "fr")


def test_asking_again_and_again_goes_through_all_languages() -> None:
    choice = Choice.of(LANGUAGES)
    seen = []
    for _ in range(4):
        choice = another(choice, 10.0)
        seen.append(choice.chosen)
    assert seen == ["de", "fr", "en", "de"]


def test_a_language_that_nobody_uses_goes_back() -> None:
    choice = another(Choice.of(LANGUAGES), 10.0)
    assert at(choice, 10.0 + CHOICE_S - 0.1).chosen == "de"
    assert at(choice, 10.0 + CHOICE_S) == Choice.of(LANGUAGES)


def test_during_a_visit_the_choice_lasts() -> None:
    choice = kept(another(Choice.of(LANGUAGES), 10.0))
    assert at(choice, 10_000.0).chosen == "de"


def test_with_one_language_there_is_nothing_to_choose() -> None:
    assert another(Choice.of(("en",)), 10.0) == Choice.of(("en",))


@given(st.lists(st.sampled_from(["another", "kept", "own", "at"])), st.integers(1, 5))
def test_the_language_in_use_is_always_one_of_the_languages(steps: list[str], count: int) -> None:
    choice = Choice.of(LANGUAGES[:count])
    for now_s, step in enumerate(steps):
        match step:
            case "another":
                choice = another(choice, now_s * 20.0)
            case "kept":
                choice = kept(choice)
            case "own":
                choice = own(choice)
            case _:
                choice = at(choice, now_s * 20.0)
        assert choice.chosen in choice.languages
        assert choice.until_s is None or choice.chosen != choice.languages[0]
