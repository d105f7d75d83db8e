"""Names of microphones: what stays of them, and which device a setting means."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import naming

USB = "USB PnP Sound Device: Audio"


@pytest.mark.parametrize(
    ("name", "stable", "address"),
    [
        (f"{USB} (hw:1,0)", USB, (1, 0)),
        ("bcm2835 Headphones: - (hw:0,0)", "bcm2835 Headphones", (0, 0)),
        ("Array (6 mics): USB Audio (plughw:12,3)", "Array (6 mics): USB Audio", (12, 3)),
        ("default", "default", None),
        ("sysdefault", "sysdefault", None),
        ("hw:1,0", "hw:1,0", None),
    ],
)
def test_the_numbers_are_taken_off_a_name(name: str, stable: str, address: tuple[int, int] | None) -> None:
    assert naming.stable_part(name) == stable
    assert naming.address(name) == address


def test_the_whole_name_wins_over_a_beginning_and_that_over_a_part() -> None:
    names = ["my mic array", "mic array", "MIC"]
    assert naming.selected(names, "mic") == 2
    assert naming.selected(names, "mic a") == 1
    assert naming.selected(names, "my") == 0
    assert naming.selected(names, "array") == 0
    assert naming.selected(names, "webcam") is None


def test_the_setting_of_a_device_is_its_name_without_numbers() -> None:
    assert naming.setting([f"{USB} (hw:1,0)", "default"], 0) == USB


def test_a_name_that_begins_another_ones_is_still_told_apart() -> None:
    names = [f"{USB} Pro (hw:0,0)", f"{USB} (hw:1,0)"]
    assert naming.setting(names, 0) == f"{USB} Pro"
    assert naming.setting(names, 1) == f"{USB} (hw:"
    assert naming.setting([f"{USB} (hw:0,0)", f"{USB} Pro (hw:1,0)"], 0) == f"{USB} (hw:"


def test_two_devices_of_the_same_name_have_no_setting() -> None:
    names = [f"{USB} (hw:1,0)", "default", f"{USB} (hw:2,0)"]
    assert [naming.setting(names, position) for position in range(3)] == [None, "default", None]
    assert naming.twins(names, 0) == [2]
    assert naming.twins(names, 1) == []


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from("aAb :"), min_size=1, max_size=6), st.booleans()), min_size=1, max_size=6
    ),
    st.randoms(use_true_random=False),
)
def test_a_setting_means_the_same_device_however_the_cards_are_numbered(
    cards: list[tuple[str, bool]], rng: random.Random
) -> None:
    def name(card: tuple[str, bool], number: int) -> str:
        return f"{card[0]} (hw:{number},0)" if card[1] else card[0]

    names = [name(card, number) for number, card in enumerate(cards)]
    order = list(range(len(cards)))
    rng.shuffle(order)
    later = [name(cards[which], number) for number, which in enumerate(order)]
    for position in range(len(cards)):
        setting = naming.setting(names, position)
        if setting is not None:
            assert naming.selected(names, setting) == position
            found = naming.selected(later, setting)
            assert found is not None
            assert order[found] == position
