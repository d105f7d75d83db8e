"""`python -m gateway.analysis.training.evaluate`: macro-F1 of each field on the development rows, also misheard."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.analysis.embedded import WEIGHTS_DIRECTORY
from gateway.analysis.engine import Analysis
from gateway.analysis.linear import LEXICON_FILES, LinearEngine, WeightsError
from gateway.analysis.polarity import Lexicon
from gateway.analysis.text import words_of
from gateway.analysis.training.corrupt import misheard
from gateway.analysis.training.model import cross_validated
from gateway.analysis.training.rows import FIELDS, Row, RowError, read_rows
from gateway.analysis.training.scores import macro_f1
from gateway.analysis.training.train import OWN_ROWS

DEVELOPMENT_ROWS = Path(__file__).parent / "development_rows.jsonl"
WORD_ERROR_RATE = 0.1
MISHEARD_SEEDS = 5

Answer = dict[str, str | None]


def answers(engine: LinearEngine, text: str) -> Answer:
    """Return what the engine claims, by field; the emotion as its family."""
    analysis = engine.analyse(text)
    return {
        "sentiment": analysis.sentiment,
        "category": analysis.category,
        "emotion_family": engine.family(text),
        "intensity": analysis.intensity,
        "is_testimonial_candidate": _told(analysis),
    }


def _told(analysis: Analysis) -> str:
    return "true" if analysis.is_testimonial_candidate else "false"


def score(rows: Sequence[Row], answer: Callable[[Row], Answer]) -> dict[str, float]:
    """Return macro-F1 by field; an acceptable alternate counts as right, so does null where nothing was said."""
    given = [(row, answer(row)) for row in rows]
    scores = {}
    for field in FIELDS:
        known = [(row, label, found[field]) for row, found in given if (label := row.label(field)) is not None]
        if known:
            truth = [label for _, label, _ in known]
            scores[field] = macro_f1(truth, [label if row.accepts(field, got) else got for row, label, got in known])
    return scores


def misheard_scores(rows: Sequence[Row], engine: LinearEngine) -> dict[str, float]:
    """Return macro-F1 by field with one word in ten misheard, as the mean over several mishearings."""
    vocabulary = sorted({word for row in rows for word in words_of(row.text)})
    runs = []
    for seed in range(MISHEARD_SEEDS):
        texts = {row.id: misheard(row.text, WORD_ERROR_RATE, vocabulary, seed) for row in rows}
        runs.append(score(rows, lambda row, texts=texts: answers(engine, texts[row.id])))  # type: ignore[misc]
    return {field: sum(run[field] for run in runs) / len(runs) for field in runs[0]}


def cross_validated_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Return macro-F1 by field over rows that the heads have not seen the topic of; heads alone, no thresholds."""
    lexicon = Lexicon.read(WEIGHTS_DIRECTORY / name for name in LEXICON_FILES)
    found: dict[str, Answer] = {}
    seen = []
    for row, chances in cross_validated(rows, lexicon):
        seen.append(row)
        found[row.id] = {field: FIELDS[field][int(values.argmax())] for field, values in chances.items()}
    return score(seen, lambda row: found[row.id])


def _table(columns: Iterable[tuple[str, dict[str, float]]]) -> str:
    named = list(columns)
    head = f"{'field':26s}" + "".join(f"{name:>14s}" for name, _ in named)
    body = [f"{field:26s}" + "".join(f"{scores[field]:14.3f}" for _, scores in named) for field in named[0][1]]
    return "\n".join([head, *body]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.analysis.training.evaluate", description=__doc__)
    parser.add_argument("--rows", nargs="+", type=Path, default=[DEVELOPMENT_ROWS], help="JSON-lines files")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_DIRECTORY, help="folder of the weights")
    parser.add_argument("--cross-validate", action="store_true", help="also train and test over the training rows")
    chosen = parser.parse_args(arguments)
    try:
        rows = read_rows(chosen.rows)
        engine = LinearEngine.load(chosen.weights)
        columns = [
            ("as spoken", score(rows, lambda row: answers(engine, row.text))),
            ("10 % misheard", misheard_scores(rows, engine)),
        ]
        if chosen.cross_validate:
            columns.append(("by topic", cross_validated_scores(read_rows([OWN_ROWS]))))
    except (RowError, WeightsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{engine.name} on {len(rows)} rows, macro-F1\n{_table(columns)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
