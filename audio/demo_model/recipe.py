"""The recipe: which parts are spoken, how often each is augmented, in which order the stages follow.

A stage that is done is not done again; remove what it wrote from the work folder to do it anew.
"""

import logging
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from audio.demo_model import (
    corpus,
    evaluation,
    graph,
    kaldi_file,
    language_model,
    lexicon,
    model_folder,
    network,
    parts,
    synthesis,
    training,
    voices,
)
from audio.demo_model.grammar import Grammar
from audio.demo_model.model_folder import Facts
from audio.demo_model.phones import KALDI_PHONES, unit_of

LOGGER = logging.getLogger(__name__)

FEATURE_SEED: Final = 1
TEST_STYLE: Final = "test_style"
TEST_OUTSIDE: Final = "test_outside"


@dataclass(frozen=True)
class Part:
    """Speech to learn from."""

    name: str
    texts: int
    espeak_share: float
    """Of its utterances spoken by espeak-ng, whose voices are many and sound little like people."""
    copies: int
    """How often each utterance is augmented."""


PARTS: Final = (
    Part("train0", 5_000, voices.ESPEAK_SHARE, 2),
    Part("train1", 5_000, voices.ESPEAK_SHARE, 2),
    Part("natural", 3_500, 0.0, 3),
)


def speech(work: Path) -> None:
    """Speak all parts and the test sentences. Raises `synthesis.MissingToolsError`, `parts.PartError`."""
    synthesis.check()
    for part in PARTS:
        if not parts.is_whole(speech_path(work, part.name)):
            parts.make_speech(speech_path(work, part.name), training_jobs(part))
    test = corpus.test_sentences()
    for name, sentences in ((TEST_STYLE, test.style), (TEST_OUTSIDE, test.outside)):
        if not parts.is_whole(speech_path(work, name)):
            parts.make_speech(speech_path(work, name), voices.evaluation_jobs(sentences))


def features(work: Path) -> None:
    """Make the features of all parts. Raises `parts.PartError`."""
    for part in PARTS:
        path = feature_path(work, part.name)
        if not parts.is_whole(path):
            spoken = parts.SpeechPart.open(speech_path(work, part.name))
            parts.make_features(spoken, path, part.copies, FEATURE_SEED)


def train(work: Path) -> None:
    """Train all stages. Raises `training.TrainingError`, `parts.PartError`."""
    known = lexicon.load()
    for stage in training.STAGES:
        if not training.is_finished(stage, work):
            opened = [parts.FeaturePart.open(feature_path(work, name)) for name in stage.parts]
            training.Trainer(stage, opened, known, work).run()


def assemble(work: Path, model: Path) -> None:
    """Make the language model and the graph, and write the whole model to the folder `model`.

    Raises `graph.GraphError`, `language_model.LanguageModelError`, `model_folder.ModelFolderError`,
    `openfst.OpenFstError`, `training.TrainingError`, `transducers.LexiconError`, `parts.PartError`.
    """
    known = lexicon.load()
    grammar = Grammar.load()
    rng = random.Random("sentences of the language model")  # noqa: S311 - chance that can be repeated, no secret
    texts = language_model.collect(known, grammar, rng)
    fitted = graph.fitting(language_model.estimate(texts), known)
    weights = network.arrays(training.finished(work, training.STAGES[-1].name))
    spoken = [parts.SpeechPart.open(speech_path(work, part.name)) for part in PARTS]
    facts = Facts(
        words=len(fitted.trigram.vocabulary()),
        hand_written=len(texts.hand_written),
        generated=len(texts.generated),
        trigrams=len(fitted.trigram.trigrams),
        weights=sum(array.size for array in weights.values()),
        speech_hours=sum(part.hours for part in spoken),
    )
    units = [unit_of(phone) for phone in KALDI_PHONES[1:]]

    def write_network(path: Path) -> None:
        kaldi_file.write_model(path, weights, units, steps=network.STEPS, subsampling=network.SUBSAMPLING)

    model_folder.write(model, fitted.files, write_network, model_folder.readme(facts, fitted.files))
    _facts_path(work).write_bytes(msgspec.json.encode((facts, sorted(fitted.files))))
    LOGGER.info("%s: %d bytes, trigrams pruned at %g", model, model_folder.size_bytes(model), fitted.pruning)


def evaluate(work: Path, model: Path) -> None:
    """Measure the word error rates and write them into the model's description.

    Raises `evaluation.EvaluationError`, `model_folder.ModelFolderError`.
    """
    sets = {evaluation.STYLE: TEST_STYLE, evaluation.OUTSIDE: TEST_OUTSIDE}
    result = evaluation.evaluate(model, {name: speech_path(work, part) for name, part in sets.items()})
    (work / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    facts, files = msgspec.json.decode(_facts_path(work).read_bytes(), type=tuple[Facts, list[str]])
    model_folder.write_readme(model, model_folder.readme(facts, files, result))
    for line in evaluation.table(result).splitlines():
        LOGGER.info("%s", line)
    LOGGER.info("%s", evaluation.cost(result).strip())


def _facts_path(work: Path) -> Path:
    return work / "facts.json"


def training_jobs(part: Part) -> list[synthesis.Job]:
    """What is spoken for a part, and by whom: texts of known words only."""
    known = lexicon.load()
    grammar = Grammar.load()
    sentences = corpus.sentences()
    held_out = corpus.held_out()
    vocabulary = corpus.vocabulary(known, grammar, sentences)
    rng = random.Random(f"texts of {part.name}")  # noqa: S311 - chance that can be repeated, no secret
    jobs: list[synthesis.Job] = []
    while len(jobs) < part.texts:
        text = corpus.training_text(rng, grammar, sentences, vocabulary.common, vocabulary.rare)
        if text not in held_out and corpus.is_known(text, known):
            jobs.append((text, voices.random_voice(rng, part.espeak_share)))
    return jobs


def speech_path(work: Path, name: str) -> Path:
    """Where a part's speech is."""
    return work / "speech" / name


def feature_path(work: Path, name: str) -> Path:
    """Where a part's features are."""
    return work / "features" / name
