"""`python -m audio.demo_model [--work DIR] [--model DIR] STAGE`: makes the demonstration model anew."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

# Before numpy and torch are imported. With more threads a step of the training takes many times as long wherever the
# machine is shared: they wait for each other by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from audio.demo_model import recipe
from audio.demo_model.corpus import CorpusError
from audio.demo_model.evaluation import EvaluationError
from audio.demo_model.graph import GraphError
from audio.demo_model.language_model import LanguageModelError
from audio.demo_model.model_folder import ModelFolderError
from audio.demo_model.openfst import OpenFstError
from audio.demo_model.parts import PartError
from audio.demo_model.synthesis import MissingToolsError
from audio.demo_model.training import TrainingError
from audio.demo_model.transducers import LexiconError

STAGES: Final[Mapping[str, Callable[[Path, Path], None]]] = MappingProxyType(
    {
        "speech": lambda work, _model: recipe.speech(work),
        "features": lambda work, _model: recipe.features(work),
        "train": lambda work, _model: recipe.train(work),
        "assemble": recipe.assemble,
        "evaluate": recipe.evaluate,
    }
)
ERRORS: Final = (
    CorpusError,
    EvaluationError,
    GraphError,
    LanguageModelError,
    LexiconError,
    MissingToolsError,
    ModelFolderError,
    OpenFstError,
    PartError,
    TrainingError,
)


def main() -> int:
    """Run one stage or all of them; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m audio.demo_model", description="Makes the demonstration model.")
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"), help="folder for what lies in between")
    parser.add_argument(
        "--model", type=Path, default=Path("build/demo_model/demonstration-en"), help="folder for the model"
    )
    parser.add_argument("stage", choices=[*STAGES, "all"])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        for name, stage in STAGES.items():
            if arguments.stage in (name, "all"):
                stage(arguments.work, arguments.model)
    except ERRORS as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
