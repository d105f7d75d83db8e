"""Training of the acoustic model, in stages, on one core and without a GPU.

Everything that is drawn comes from the stage's name and the number of the epoch or step. So a stage that was
interrupted and goes on from its last checkpoint does the same steps as one that was not.
"""

import logging
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audio.demo_model import objective
from audio.demo_model.disguise import disguise
from audio.demo_model.lexicon import Lexicon
from audio.demo_model.network import SUBSAMPLING, Network, output_frames, pad
from audio.demo_model.parts import ROWS_PER_HOUR, FeaturePart

BATCH_FRAMES: Final = 6000
"""Feature frames in a batch, padding included."""
SHORTEST_FRAMES: Final = 30
LONGEST_FRAMES: Final = 1000
ROOM: Final = 0.95
"""The part of an utterance that its phones, at their shortest, may fill."""
BETAS: Final = (0.9, 0.98)
WEIGHT_DECAY: Final = 1e-3
SCORE_PENALTY: Final = 1e-4
"""How strongly scores are pulled towards zero, which the objective alone leaves free."""
LARGEST_GRADIENT: Final = 1.0
AVERAGING: Final = 0.998
"""How much of the mean of the weights a step keeps."""
WARM_UP_STEPS: Final = 200
LATER_WARM_UP_STEPS: Final = 50
LEAST_RATE: Final = 0.02
"""The rate at the end of a stage, as a part of its peak."""
DROPOUT_UNTIL: Final = 0.7
"""The part of a stage after which small dropout ends."""
LASTING_DROPOUT: Final = 0.1
"""Dropout above this stays to the end."""
P_MASK: Final = 0.3
MASK_FRAMES: Final = (2, 12)
SAMPLE_UTTERANCES: Final = 300
"""Utterances from which the mean and the deviation of the features are taken."""
MOST_TRIGRAM_TEXTS: Final = 20_000
CHECKPOINT_STEPS: Final = 200
REPORT_STEPS: Final = 50

LOGGER = logging.getLogger(__name__)


class TrainingError(Exception):
    """Training cannot go on. One sentence: what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of the optimiser."""

    name: str
    parts: tuple[str, ...]
    """The feature parts that it learns from."""
    steps: int
    peak_rate: float
    """The highest learning rate."""
    dropout: float
    start: Mapping[str, float] = field(default_factory=dict)
    """Earlier stages and their weights, which sum to 1: it starts from the mean of their networks."""


STAGES: Final = (
    Stage("first", ("train0", "train1", "natural"), 4_500, 1.5e-3, 0.12),
    Stage("second", ("train0", "train1", "natural"), 6_000, 1e-3, 0.12, {"first": 1.0}),
)
"""The stages of the demonstration model, in order; the network of the last is the result."""


class Utterance(NamedTuple):
    """An utterance that can be learnt from."""

    part: FeaturePart
    number: int
    """Its place in the part."""
    rows: int
    text: str


def usable(parts: Sequence[FeaturePart], lexicon: Lexicon) -> list[Utterance]:
    """The utterances of a fit length whose words are all known and whose phones fit into their frames."""
    found = []
    for part in parts:
        for number, (_, rows, text) in enumerate(part.segments):
            words = text.split()
            if not SHORTEST_FRAMES <= rows <= LONGEST_FRAMES or not all(word in lexicon for word in words):
                continue
            if sum(len(lexicon[word][0]) for word in words) * SUBSAMPLING < rows * ROOM:
                found.append(Utterance(part, number, rows, text))
    return found


def batches(utterances: Sequence[Utterance], frames: int, rng: random.Random) -> list[list[Utterance]]:
    """All utterances in batches of similar length, at most `frames` frames each with padding, in random order."""
    found: list[list[Utterance]] = []
    current: list[Utterance] = []
    longest = 0
    for utterance in sorted(utterances, key=lambda utterance: utterance.rows + rng.uniform(-15, 15)):
        longest = max(longest, utterance.rows)
        if current and (len(current) + 1) * longest > frames:
            found.append(current)
            current = []
            longest = utterance.rows
        current.append(utterance)
    if current:
        found.append(current)
    rng.shuffle(found)
    return found


def rate_at(stage: Stage, step: int) -> float:
    """The learning rate of a step: a linear rise, then half a cosine."""
    warm_up = min(1.0, (step + 1) / (LATER_WARM_UP_STEPS if stage.start else WARM_UP_STEPS))
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / stage.steps))
    return stage.peak_rate * warm_up * (LEAST_RATE + (1.0 - LEAST_RATE) * cosine)


def dropout_at(stage: Stage, step: int) -> float:
    """The dropout of a step."""
    lasts = stage.dropout > LASTING_DROPOUT or step < DROPOUT_UNTIL * stage.steps
    return stage.dropout if lasts else 0.0


def mask_time(features: Tensor, rng: random.Random) -> None:
    """Blank a stretch of some utterances in `features` (utterances, frames, 40), in place."""
    for utterance in features:
        if rng.random() < P_MASK:
            width = rng.randint(*MASK_FRAMES)
            start = rng.randint(0, max(0, len(utterance) - width))
            utterance[start : start + width] = utterance.mean(0)


def mean_network(states: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """The weighted mean of networks' states."""
    names = states[0][0]
    return {name: torch.stack([weight * state[name] for state, weight in states]).sum(0) for name in names}


class Trainer:
    """A stage in progress. Its whole state is in the checkpoint at `path`.

    Raises `TrainingError` where there is nothing to learn from, or an earlier stage is not complete.
    """

    def __init__(self, stage: Stage, parts: Sequence[FeaturePart], lexicon: Lexicon, work: Path) -> None:
        # PyTorch's threads spin while they wait: on a busy machine two are slower than one.
        torch.set_num_threads(1)
        self._half = torch.cpu.get_capabilities().get("avx512_bf16", False)
        self._stage = stage
        self._path = work / f"{stage.name}.pt"
        self._utterances = usable(parts, lexicon)
        if not self._utterances:
            raise TrainingError(
                f"the parts {', '.join(stage.parts)} have no utterance to learn from; make their features"
            )
        self._transcripts = {
            text: objective.transcribe(text, lexicon)
            for text in dict.fromkeys(utterance.text for utterance in self._utterances)
        }
        self._trigram = self._count_trigram()
        self.network = self._first_network(work)
        self._parameters: list[Tensor] = list(self.network.parameters())
        self._mean = [parameter.detach().clone() for parameter in self._parameters]
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=stage.peak_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step = self._epoch = self._in_epoch = 0
        self._resume()

    def run(self) -> None:
        """Do the rest of the stage."""
        frames = sum(utterance.rows for utterance in self._utterances)
        LOGGER.info("%s: %d utterances, %.1f h", self._stage.name, len(self._utterances), frames / ROWS_PER_HOUR)
        # Probabilities that fade out would pass through numbers with which a processor is a hundred times slower.
        torch.set_flush_denormal(True)
        try:
            self._learn_all()
        finally:
            torch.set_flush_denormal(False)

    def _learn_all(self) -> None:
        recent: list[float] = []
        began = time.monotonic()
        for batch in self._remaining():
            recent.append(self.learn(batch))
            self.step += 1
            self._in_epoch += 1
            if self.step % REPORT_STEPS == 0:
                self._report(recent, time.monotonic() - began)
                recent.clear()
                began = time.monotonic()
            if self.step % CHECKPOINT_STEPS == 0:
                self.save()
        self.save()

    def learn(self, batch: Sequence[Utterance]) -> float:
        """One step of the optimiser; returns the objective for each output frame before it."""
        stage, step = self._stage, self.step
        features = pad([_features_of(utterance) for utterance in batch])
        disguise(features, self.network.deviation, _rng(stage, f"disguise {step}"))
        mask_time(features, _rng(stage, f"mask {step}"))
        chance = torch.Generator().manual_seed(_rng(stage, f"dropout {step}").getrandbits(62))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half):
            scores = self.network(features, dropout_at(stage, step), chance)
        scores = scores.float()
        lengths = [output_frames(utterance.rows) for utterance in batch]
        found = objective.gradient(
            scores, lengths, [self._transcripts[utterance.text] for utterance in batch], self._trigram
        )
        slope = torch.add(scores.detach() * SCORE_PENALTY, found.scores, alpha=-1.0).div_(sum(lengths))
        self._optimiser.zero_grad()
        scores.backward(slope)
        torch.nn.utils.clip_grad_norm_(self._parameters, LARGEST_GRADIENT)
        for group in self._optimiser.param_groups:
            group["lr"] = rate_at(stage, step)
        self._optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, self._parameters, 1.0 - min(AVERAGING, (step + 1) / (step + 10)))
        return found.objective / max(1, found.frames)

    def state(self) -> dict[str, Tensor]:
        """The network with the mean of the weights: what the stage is for."""
        state = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        for (name, _), mean in zip(self.network.named_parameters(), self._mean, strict=True):
            state[name] = mean.clone()
        return state

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        checkpoint = {
            "network": self.state(),
            "weights": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "place": (self.step, self._epoch, self._in_epoch),
            "steps": self._stage.steps,
        }
        unfinished = self._path.with_suffix(".pt.unfinished")
        torch.save(checkpoint, unfinished)
        unfinished.replace(self._path)

    def _resume(self) -> None:
        if not self._path.exists():
            return
        checkpoint = _load(self._path)
        if checkpoint["steps"] != self._stage.steps:
            raise TrainingError(
                f"{self._path} is of a stage with {checkpoint['steps']} steps, not {self._stage.steps}; delete it"
            )
        self.network.load_state_dict(checkpoint["weights"])
        self._optimiser.load_state_dict(checkpoint["optimiser"])
        for mean, (name, _) in zip(self._mean, self.network.named_parameters(), strict=True):
            mean.copy_(checkpoint["network"][name])
        self.step, self._epoch, self._in_epoch = checkpoint["place"]

    def _remaining(self) -> Iterator[list[Utterance]]:
        while self.step < self._stage.steps:
            rng = _rng(self._stage, f"epoch {self._epoch}")
            for batch in batches(self._utterances, BATCH_FRAMES, rng)[self._in_epoch :]:
                if self.step >= self._stage.steps:
                    return
                yield batch
            self._epoch += 1
            self._in_epoch = 0

    def _first_network(self, work: Path) -> Network:
        torch.manual_seed(1)
        network = Network()
        if self._stage.start:
            earlier = [(finished(work, name), weight) for name, weight in self._stage.start.items()]
            network.load_state_dict(mean_network(earlier))
        else:
            rng = _rng(self._stage, "sample")
            sample = rng.sample(self._utterances, min(SAMPLE_UTTERANCES, len(self._utterances)))
            network.normalise_features(torch.cat([_features_of(utterance) for utterance in sample]))
        return network

    def _count_trigram(self) -> objective.Trigram:
        texts = [utterance.text for utterance in self._utterances]
        texts = texts[:: 3 if len(texts) > MOST_TRIGRAM_TEXTS else 1]
        rng = _rng(self._stage, "trigram")
        return objective.count_trigram((self._transcripts[text] for text in texts), rng)

    def _report(self, recent: Sequence[float], seconds: float) -> None:
        each_s = seconds / len(recent)
        LOGGER.info(
            "%s: step %d of %d, objective %.4f, rate %.2g, %.3f s a step, %.0f min left",
            *(self._stage.name, self.step, self._stage.steps, sum(recent) / len(recent)),
            *(rate_at(self._stage, self.step), each_s, (self._stage.steps - self.step) * each_s / 60),
        )


def finished(work: Path, name: str) -> dict[str, Tensor]:
    """The network of the complete stage `name`. Raises `TrainingError` when it is not."""
    path = work / f"{name}.pt"
    if not path.exists():
        raise TrainingError(f"the stage {name} has not been trained: there is no {path}; train it first")
    checkpoint = _load(path)
    if checkpoint["place"][0] < checkpoint["steps"]:
        raise TrainingError(f"the stage {name} stopped at step {checkpoint['place'][0]}; train it to its end first")
    network: dict[str, Tensor] = checkpoint["network"]
    return network


def is_finished(stage: Stage, work: Path) -> bool:
    """Whether the stage was trained to its end."""
    path = work / f"{stage.name}.pt"
    return path.exists() and bool(_load(path)["place"][0] >= stage.steps)


def _rng(stage: Stage, purpose: str) -> random.Random:
    return random.Random(f"{stage.name} {purpose}")  # noqa: S311 - chance that can be repeated, no secret


def _load(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def _features_of(utterance: Utterance) -> Tensor:
    return torch.from_numpy(utterance.part.features(utterance.number).astype(np.float32))
