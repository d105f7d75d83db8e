"""The level meter: what it shows of a sound, and how it is drawn."""

import math
import re
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import figures, meter_screen
from audio.meter import HOLD_S, LevelMeter, Reading, Zone
from audio.meter_screen import Style
from audio.settings import AudioSettings

SETTINGS = AudioSettings()
BLOCK_SAMPLES = 16000 * SETTINGS.block_ms // 1000
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PLAIN = Style(colours=False, blocks=True)


def tone(level_dbfs: float) -> bytes:
    """A block of a sine of this level, clipped where it must be."""
    amplitude = 32767 * 10 ** (level_dbfs / 20) * math.sqrt(2)
    samples = (amplitude * math.sin(2 * math.pi * 440 * i / 16000) for i in range(BLOCK_SAMPLES))
    return array("h", [max(-32768, min(32767, round(sample))) for sample in samples]).tobytes()


def hear(meter: LevelMeter, level_dbfs: float, seconds: float) -> None:
    for _ in range(round(seconds * 1000 / SETTINGS.block_ms)):
        meter.hear(tone(level_dbfs))


@pytest.mark.parametrize(
    ("level_dbfs", "zone"),
    [(-80, Zone.SILENT), (-50, Zone.QUIET), (-25, Zone.GOOD), (-9, Zone.LOUD), (3, Zone.CLIPPING)],
)
def test_a_steady_level_is_shown_with_its_word(level_dbfs: float, zone: Zone) -> None:
    meter = LevelMeter(SETTINGS)
    hear(meter, level_dbfs, 1.0)
    assert meter.reading().zone is zone
    if zone is not Zone.CLIPPING:
        assert meter.reading().dbfs == pytest.approx(level_dbfs, abs=0.8)


def test_the_peak_and_the_word_are_held_and_then_fall() -> None:
    meter = LevelMeter(SETTINGS)
    hear(meter, -20, 0.5)
    hear(meter, -70, HOLD_S - 0.1)
    held = meter.reading()
    assert held.dbfs < -60
    assert held.peak_dbfs == pytest.approx(-17, abs=0.5)
    assert held.zone is Zone.GOOD
    hear(meter, -70, 0.5)
    assert meter.reading().zone is Zone.SILENT
    assert meter.loudest_dbfs == pytest.approx(-20, abs=0.8)
    assert meter.highest_peak == pytest.approx(10 ** (-17 / 20), rel=0.05)


def test_a_meter_that_heard_nothing_is_silent() -> None:
    assert LevelMeter(SETTINGS).reading() == Reading(-96.0, -96.0, Zone.SILENT)


def test_figures_are_drawn_in_half_cells_at_any_scale() -> None:
    assert figures.draw("-1") == ["    ▄█ ", "▀▀▀  █ ", "    ▀▀▀"]
    for scale in (1, 2, 3):
        lines = figures.draw("-96", scale)
        assert len(lines) == figures.height(scale)
        assert {len(line) for line in lines} == {figures.width("-96", scale)}


readings = st.builds(Reading, st.floats(-96, 0), st.floats(-96, 0), st.sampled_from(Zone))


@given(readings, st.integers(1, 300), st.integers(1, 120), st.booleans(), st.booleans())
def test_a_screen_fits_every_terminal(reading: Reading, width: int, height: int, colours: bool, blocks: bool) -> None:
    lines = meter_screen.draw(reading, "USB microphone, 48000 Hz, channel 1", width, height, Style(colours, blocks))
    assert 1 <= len(lines) <= height
    bare = [COLOUR.sub("", line) for line in lines]
    assert max(map(len, bare)) <= width
    if not colours:
        assert bare == lines
    if not blocks:
        assert all(line.isascii() for line in bare)
    if width >= 8 and height >= 4:
        assert any(line.strip() for line in bare)


@pytest.mark.parametrize(("width", "height", "scale"), [(60, 20, 4), (120, 40, 10)])
def test_the_figures_are_as_large_as_the_terminal_allows(width: int, height: int, scale: int) -> None:
    lines = meter_screen.draw(Reading(-23.4, -9.0, Zone.GOOD), "mic", width, height, PLAIN)
    drawn = [line.rstrip() for line in figures.draw("-23", scale)]
    start = next(i for i, line in enumerate(lines) if "█" in line)
    assert [line.strip() for line in lines[start : start + len(drawn)]] == [line.strip() for line in drawn]


@pytest.mark.parametrize("zone", Zone)
def test_the_word_is_drawn_large_and_written_small_where_there_is_no_room(zone: Zone) -> None:
    large = meter_screen.draw(Reading(-23.0, -9.0, zone), "mic", 60, 20, PLAIN)
    word = figures.draw(zone.value.upper())
    assert any(all(line.strip() in large[i + k] for k, line in enumerate(word)) for i in range(len(large) - 2))
    small = meter_screen.draw(Reading(-23.0, -9.0, zone), "mic", 40, 10, PLAIN)
    assert any(line.strip() == zone.value for line in small)


def test_the_bar_grows_with_the_level_and_holds_the_peak() -> None:
    def bar(level_dbfs: float, peak_dbfs: float) -> str:
        lines = meter_screen.draw(Reading(level_dbfs, peak_dbfs, Zone.GOOD), "mic", 60, 20, PLAIN)
        return next(line for line in lines if "░" in line or set(line) == {"█"})

    assert bar(-96, -96) == "░" * 60
    assert bar(0, 0) == "█" * 60
    assert bar(-30, -10) == "█" * 30 + "░" * 19 + " █" + "░" * 9


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    reading = Reading(-3.0, 0.0, Zone.CLIPPING)
    assert not COLOUR.search("".join(meter_screen.draw(reading, "mic", 60, 20, PLAIN)))
    assert COLOUR.search("".join(meter_screen.draw(reading, "mic", 60, 20, Style(True, True))))


def test_a_plain_line_says_the_same() -> None:
    assert meter_screen.plain(Reading(-23.4, -9.0, Zone.GOOD)) == " -23 dBFS   peak   -9   good"
