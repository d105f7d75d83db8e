"""The lattice-free MMI objective (Povey et al., Interspeech 2016) over one-state phones, with its gradient.

A unit u is one frame with pdf 2u, then any number with pdf 2u + 1. The numerator sums over all alignments of an
utterance's transcript, so that no earlier alignment is needed; the denominator sums over all strings of units under
a trigram. The gradient at a pdf is the difference of its two occupancies. Both sums run in the linear domain, scaled
at every frame: far faster than sums of logarithms, and exact as long as no frame's paths differ by more than the
range of the number.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio.demo_model.lexicon import Lexicon
from audio.demo_model.phones import SILENCE, UNIT_NUMBERS, UNITS

P_PAUSE: Final = 0.2
"""The chance of a pause between two words."""
P_EDGE_PAUSE: Final = 0.8
"""The chance of a pause before the first and after the last word."""
SMOOTHING: Final = 20.0
"""How many observations the lower order counts for in the trigram."""

_PAUSE: Final = UNIT_NUMBERS[SILENCE]
_LEAST_SCORE: Final = -30.0
"""Denominator scores this far below a frame's best count as this, so that single precision suffices."""
_TINY: Final = 1e-30

_Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The units of an utterance, in order."""

    units: tuple[int, ...]
    p_present: tuple[float, ...]
    """The chance of each to be spoken: 1 except for pauses. No two pauses are neighbours."""


class Occupancy(NamedTuple):
    """What a sum over alignments gives."""

    pdfs: Tensor
    """How much of each frame is in each pdf: (utterances, frames, pdfs), zeros beyond an utterance's end."""
    log_likelihoods: Tensor
    """(utterances,); minus infinity where no alignment fits."""


class Gradient(NamedTuple):
    """The objective and its slope."""

    objective: float
    """Log-probability of the transcripts against everything that could be said, summed over the utterances used."""
    scores: Tensor
    """The derivative of the objective by the scores: (utterances, frames, pdfs)."""
    frames: int
    """Frames of the utterances used."""


def transcribe(text: str, lexicon: Lexicon) -> Transcript:
    """The first pronunciation of every word of `text`, with a pause possible around each. Raises `KeyError`."""
    words = text.split()
    units = [_PAUSE]
    p_present = [P_EDGE_PAUSE]
    for place, word in enumerate(words, 1):
        phones = lexicon[word][0]
        units += [UNIT_NUMBERS[phone] for phone in phones]
        p_present += [1.0] * len(phones)
        units.append(_PAUSE)
        p_present.append(P_PAUSE if place < len(words) else P_EDGE_PAUSE)
    return Transcript(tuple(units), tuple(p_present))


class _Alignments:
    """The transcripts of a batch side by side: arrays (utterances, places), two empty places at either end."""

    def __init__(self, transcripts: Sequence[Transcript]) -> None:
        places = max(len(transcript.units) for transcript in transcripts)
        shape = (len(transcripts), places)
        self.units = np.zeros(shape, np.int64)
        self.entry = np.zeros(shape)
        self.skip = np.zeros(shape)
        self.start = np.zeros(shape)
        self.end = np.zeros(shape)
        for row, transcript in enumerate(transcripts):
            count = len(transcript.units)
            present = np.array(transcript.p_present)
            absent = 1.0 - present
            self.units[row, :count] = transcript.units
            self.entry[row, :count] = present
            self.skip[row, 1:count] = absent[: count - 1]
            self.start[row, 0] = 1.0
            self.end[row, count - 1] = 1.0
            if count > 1:
                self.start[row, 1] = absent[0]
                self.end[row, count - 2] = absent[-1]


def numerator(scores: Tensor, lengths: Sequence[int], transcripts: Sequence[Transcript]) -> Occupancy:
    """Sum over all alignments of the `transcripts` with the `scores` (utterances, frames, pdfs).

    Place s of a transcript is entered from place s - 1, or from s - 2 where s - 1 is a pause that is left out.
    """
    count, frames, pdfs = scores.shape
    graph = _Alignments(transcripts)
    best = scores.amax(2, keepdim=True)
    likelihoods = (scores - best).double().exp_().transpose(0, 1)
    first_pdf = torch.from_numpy(2 * graph.units).expand(frames, -1, -1)
    first = likelihoods.gather(2, first_pdf).numpy()
    first *= graph.entry
    rest = likelihoods.gather(2, first_pdf + 1).numpy()
    last = np.asarray(lengths) - 1

    forward, entered, scale = _numerator_forward(first, rest, graph)
    backward = _numerator_backward(first, rest, graph, last)
    total = np.einsum("tbs,tbs->tb", forward, backward)
    live = np.arange(frames)[:, None] <= last
    fits = np.where(live, total > 0, True).all(0)
    weight = np.divide(1.0, total, out=np.zeros_like(total), where=live & fits)
    backward *= weight[:, :, None]
    forward -= entered
    entered *= backward
    forward *= backward

    occupancy = torch.zeros(frames, count, pdfs)
    occupancy.scatter_add_(2, first_pdf, torch.from_numpy(entered).float())
    occupancy.scatter_add_(2, first_pdf + 1, torch.from_numpy(forward).float())
    ends = np.where(fits, total[last, np.arange(count)], 0.0)
    with np.errstate(divide="ignore"):
        logs = np.log(ends) + np.where(live, np.log(scale) + best[:, :, 0].double().numpy().T, 0.0).sum(0)
    return Occupancy(occupancy.transpose(0, 1), torch.from_numpy(logs))


def _numerator_forward(first: _Doubles, rest: _Doubles, graph: _Alignments) -> tuple[_Doubles, _Doubles, _Doubles]:
    """Forward probabilities (frames, utterances, places), the part of them that has just entered, and the scales.

    At every frame the probabilities are divided by the scale (frames, utterances), their sum before it.
    """
    frames, count, places = first.shape
    forward = np.empty_like(first)
    entered = np.empty_like(first)
    scale = np.ones((frames, count))
    padded = np.zeros((count, places + 2))
    current = padded[:, 2:]
    for t in range(frames):
        new = entered[t]
        if t:
            np.multiply(padded[:, :-2], graph.skip, out=new)
            new += padded[:, 1:-1]
            new *= first[t]
            current *= rest[t]
            current += new
        else:
            np.multiply(graph.start, first[0], out=new)
            current[:] = new
        sums = current.sum(1)
        sums[sums == 0.0] = 1.0
        inverse = (1.0 / sums)[:, None]
        current *= inverse
        new *= inverse
        forward[t] = current
        scale[t] = sums
    return forward, entered, scale


def _numerator_backward(first: _Doubles, rest: _Doubles, graph: _Alignments, last: NDArray[np.int64]) -> _Doubles:
    """Backward probabilities (frames, utterances, places), up to one factor for each frame and utterance.

    At an utterance's `last` frame they are its ways to end, so that there alone they have no such factor.
    """
    frames, count, places = first.shape
    backward = np.zeros_like(first)
    padded = np.zeros((count, places + 2))
    entering = padded[:, :-2]
    over = np.zeros((count, places))
    over[:, :-2] = graph.skip[:, 2:]
    current = np.zeros((count, places))
    ending: dict[int, list[int]] = {}
    for row, t in enumerate(last.tolist()):
        ending.setdefault(t, []).append(row)
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            np.multiply(current, first[t + 1], out=entering)
            current *= rest[t + 1]
            current += padded[:, 1:-1]
            current += over * padded[:, 2:]
            sums = current.sum(1)
            sums[sums == 0.0] = 1.0
            current *= (1.0 / sums)[:, None]
        if t in ending:
            current[ending[t]] = graph.end[ending[t]]
        backward[t] = current
    return backward


@dataclass(frozen=True, slots=True)
class Trigram:
    """The units of the language: what the denominator sums over."""

    follows: Tensor
    """P(next | last but one, last) at [last, last but one, next]."""
    first: Tensor
    """P(unit) at the start of an utterance. The unit before it counts as a pause."""


def count_trigram(transcripts: Iterable[Transcript], rng: random.Random) -> Trigram:
    """A trigram of the units, interpolated with the lower orders; `rng` draws which pauses are spoken."""
    size = len(UNITS)
    triples = np.zeros((size, size, size))
    first = np.full(size, 0.1)
    for transcript in transcripts:
        spoken = [
            unit
            for unit, present in zip(transcript.units, transcript.p_present, strict=True)
            if present == 1.0 or rng.random() < present
        ]
        first[spoken[0]] += 1
        before = np.array([_PAUSE, *spoken])
        np.add.at(triples, (before[1:-1], before[:-2], before[2:]), 1.0)
    pairs = triples.sum(1)
    singles = 1.0 + pairs.sum(0)
    p_single = singles / singles.sum()
    p_pair = (pairs + SMOOTHING * p_single) / (pairs.sum(1, keepdims=True) + SMOOTHING)
    p_triple = (triples + SMOOTHING * p_pair[:, None, :]) / (triples.sum(2, keepdims=True) + SMOOTHING)
    return Trigram(torch.from_numpy(p_triple).float(), torch.from_numpy(first / first.sum()).float())


def denominator(scores: Tensor, lengths: Sequence[int], trigram: Trigram) -> Occupancy:
    """Sum over all strings of units, with the `scores` (utterances, frames, pdfs).

    The states are (unit, utterance, unit before it).
    """
    count, frames, pdfs = scores.shape
    best = scores.amax(2, keepdim=True)
    likelihoods = (scores - best).clamp_min_(_LEAST_SCORE).exp_().permute(1, 2, 0)
    first = likelihoods[:, 0::2].contiguous()[:, :, :, None]
    rest = likelihoods[:, 1::2].contiguous()[:, :, :, None]
    forward, scale = _denominator_forward(first, rest, trigram)
    staying, total = _denominator_backward(first, rest, trigram, forward, scale, lengths)
    live = torch.arange(frames)[:, None] < torch.tensor(lengths)[None]
    weight = live / total.sum(1).clamp_min_(_TINY)
    staying *= weight[:, None]
    total *= weight[:, None]
    occupancy = torch.stack([(total - staying).clamp_min_(0.0), staying], 2)
    logs = ((scale.double().log() + best[:, :, 0].double().T) * live).sum(0)
    return Occupancy(occupancy.permute(3, 0, 1, 2).reshape(count, frames, pdfs), logs)


def _denominator_forward(first: Tensor, rest: Tensor, trigram: Trigram) -> tuple[Tensor, Tensor]:
    """Forward probabilities (frames, unit, utterance, unit before), each frame's sum not yet divided out, and the sums.

    The division is part of the next frame's likelihoods, which are far smaller.
    """
    frames, units, count, _ = first.shape
    forward = torch.empty(frames, units, count, units)
    forward[0] = 0.0
    scale = torch.empty(frames, count)
    forward[0, :, :, _PAUSE] = trigram.first[:, None] * first[0, :, :, 0]
    entering = torch.empty(units, count, units)
    for t in range(frames):
        if t:
            inverse = (1.0 / scale[t - 1])[:, None]
            torch.bmm(forward[t - 1], trigram.follows, out=entering)
            torch.mul(forward[t - 1], rest[t] * inverse, out=forward[t])
            forward[t].addcmul_(entering.permute(2, 1, 0), first[t] * inverse)
        torch.sum(forward[t], (0, 2), out=scale[t])
        scale[t].clamp_min_(_TINY)
    return forward, scale


def _denominator_backward(
    first: Tensor, rest: Tensor, trigram: Trigram, forward: Tensor, scale: Tensor, lengths: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """How much of each frame stays in a unit, and is in it at all: (frames, unit, utterance), up to a frame's sum."""
    frames, units, count, _ = first.shape
    staying = torch.empty(frames, units, count)
    staying[0] = 0.0
    total = torch.empty(frames, units, count)
    back = trigram.follows.transpose(1, 2).contiguous()
    current = torch.ones(units, count, units)
    ending: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        ending.setdefault(length - 1, []).append(row)
    leaving = torch.empty(units, count, units)
    before = torch.empty(units, count, units)
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            inverse = (1.0 / scale[t + 1])[:, None]
            torch.mul(current.permute(2, 1, 0), (first[t + 1] * inverse).permute(2, 1, 0), out=leaving)
            current *= rest[t + 1] * inverse
            torch.sum(torch.mul(current, forward[t], out=before), 2, out=staying[t + 1])
            staying[t + 1] /= scale[t]
            current += torch.bmm(leaving, back, out=before)
        if t in ending:
            current[:, ending[t]] = 1.0
        torch.sum(torch.mul(current, forward[t], out=before), 2, out=total[t])
    total /= scale[:, None]
    return staying, total


def gradient(scores: Tensor, lengths: Sequence[int], transcripts: Sequence[Transcript], trigram: Trigram) -> Gradient:
    """The LF-MMI objective of a batch and its slope.

    `scores` (utterances, frames, pdfs) are log-scores in single precision, `lengths` the frames of each utterance. An
    utterance whose transcript does not fit into its frames takes no part.
    """
    with torch.inference_mode():
        scores = scores.detach()
        spoken = numerator(scores, lengths, transcripts)
        anything = denominator(scores, lengths, trigram)
        fits = spoken.log_likelihoods.isfinite() & anything.log_likelihoods.isfinite()
        slope = (spoken.pdfs - anything.pdfs) * fits[:, None, None]
        objective = (spoken.log_likelihoods - anything.log_likelihoods)[fits].sum()
        frames = int((torch.tensor(lengths) * fits).sum())
    return Gradient(float(objective), slope, frames)
