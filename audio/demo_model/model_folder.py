"""The folder of a Vosk model: the network, the decoding graph, the settings and a description, written as a whole."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from audio.demo_model import evaluation
from audio.demo_model.evaluation import Evaluation
from audio.demo_model.mfcc import MFCC_CONF
from audio.demo_model.phones import KALDI_PHONE_IDS, SILENCE

README: Final = "README.md"
NETWORK: Final = "am/final.mdl"

MODEL_CONF: Final = f"""--min-active=200
--max-active=3000
--beam=12.0
--lattice-beam=4.0
--acoustic-scale=1.0
--frame-subsampling-factor=3
--endpoint.silence-phones={KALDI_PHONE_IDS[SILENCE]}
--endpoint.rule2.min-trailing-silence=0.5
--endpoint.rule3.min-trailing-silence=1.0
--endpoint.rule4.min-trailing-silence=2.0
"""
"""The text of `conf/model.conf`: the options of Kaldi's decoder, its network and its endpoints.

The network is trained so that its outputs are used as they are (acoustic scale 1), one for three frames of features.
Vosk counts on the latter: it takes an output for 30 ms.
"""


class Facts(NamedTuple):
    """What the description of a model says of it."""

    words: int
    hand_written: int
    """Sentences."""
    generated: int
    """Sentences of the grammar."""
    trigrams: int
    weights: int
    """Of the network."""
    speech_hours: float
    """That the network heard, before augmentation."""


class ModelFolderError(Exception):
    """A folder that cannot be written. One sentence."""


def write(folder: Path, graph: Mapping[str, bytes], write_network: Callable[[Path], object], readme: str) -> None:
    """Make `folder` a complete model, or replace the model there. `graph` are `graph.Files`.

    `write_network` writes Kaldi's file to the path that it is called with. All is written beside `folder` first and
    then takes its place, so that `folder` never holds half a model; if that fails, the model before stays. Raises
    `ModelFolderError`, and what `write_network` raises.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            model = Path(scratch) / "model"
            _write_all(model, {f"graph/{name}": content for name, content in graph.items()})
            _write_all(model, {"conf/mfcc.conf": MFCC_CONF.encode(), "conf/model.conf": MODEL_CONF.encode()})
            _write_all(model, {README: readme.encode()})
            (model / NETWORK).parent.mkdir()
            write_network(model / NETWORK)
            _put_in_place(model, folder, Path(scratch) / "before")
    except OSError as error:
        raise ModelFolderError(f"the model {folder} cannot be written: {error}") from error


def write_readme(folder: Path, readme: str) -> None:
    """Replace the description of a model. Raises `ModelFolderError`."""
    scratch = folder / f".{README}"
    try:
        scratch.write_text(readme, encoding="utf-8")
        scratch.replace(folder / README)
    except OSError as error:
        raise ModelFolderError(f"{folder / README} cannot be written: {error}") from error


def size_bytes(folder: Path) -> int:
    """Of all files of a model."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def readme(facts: Facts, graph: Collection[str], result: Evaluation | None = None) -> str:
    """The description of a model in Markdown: what it is, how well it hears (from `result`), and what it is made of.

    `graph` are the names of `graph.Files`.
    """
    rows = "".join(f"| `{name}` | {_CONTENTS[name]} |\n" for name in _CONTENTS if _is_there(name, graph))
    return _TEMPLATE.format(
        facts=facts,
        results=_NOT_EVALUATED if result is None else f"{evaluation.table(result)}\n{evaluation.cost(result)}",
        grammar=_GRAMMAR if "HCLr.fst" in graph else "",
        contents=rows,
        style_share=100 - _OUTSIDE_PERCENT,
        outside_share=_OUTSIDE_PERCENT,
    )


def _is_there(name: str, graph: Collection[str]) -> bool:
    return not name.startswith("graph/") or name.removeprefix("graph/") in graph


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _put_in_place(model: Path, folder: Path, before: Path) -> None:
    """Move `model` to `folder`, and what is there to `before`; back again if that fails."""
    replaced = folder.exists()
    if replaced:
        folder.rename(before)
    try:
        model.rename(folder)
    except OSError:
        if replaced:
            before.rename(folder)
        raise


_OUTSIDE_PERCENT: Final = round(100 * evaluation.OUTSIDE_SHARE)
_CONTENTS: Final = MappingProxyType(
    {
        NETWORK: "the acoustic model: a residual TDNN trained with LF-MMI, in Kaldi's nnet3 format",
        "conf/mfcc.conf": "the features",
        "conf/model.conf": "the decoder's beam, the endpoints",
        "graph/HCLG.fst": "the decoding graph: lexicon and language model",
        "graph/HCLr.fst": "the lexicon as a graph, composed with the language model while decoding",
        "graph/Gr.fst": "the language model: a word trigram",
        "graph/disambig_tid.int": "the labels of `HCLr.fst` that stand for no sound",
        "graph/words.txt": "the words and their numbers in the graph",
        "graph/phones/word_boundary.int": "which phones begin and end words, for the words' times",
    }
)
_NOT_EVALUATED: Final = "It has not been evaluated.\n"
_GRAMMAR: Final = """
A program can give Vosk a grammar at run time, such as `KaldiRecognizer(model, 16000, '["yes", "no", "[unk]"]')`: then
only its words are heard, and `[unk]` stands for speech that is none of them. Without `[unk]` in the grammar all speech
is taken for its words. The grammar may hold only words of the model; Vosk drops others with a warning.
"""
_TEMPLATE: Final = """# The demonstration model (English)

A complete Vosk model that comes with the program, so that a demonstration and the tests run real speech recognition
without downloading anything. `python -m audio.demo_model` makes it anew.

**It is not for a real kiosk.** It knows {facts.words:,} words around visiting a shop, and it has learnt from synthetic
voices alone. It does not understand real people. For a kiosk in a store, install an official Vosk model of the same
layout (a small one is about 40 MB) and name its folder in the settings (`audio.model`).
{grammar}
## How well it hears

Word error rates through Vosk, and of how many words, for sentences that took no part in the training: in the style of
the training sentences, outside it (about anything), and as a mixture, with {style_share} % of the words in the style
and {outside_share} % outside it.

{results}
## How it was made

{facts.speech_hours:.1f} hours of synthetic speech, augmented with noise, reverberation, equalising, other speeds and
other vocal tracts, trained a network of {facts.weights:,} weights without alignments (LF-MMI). The language model
learnt from {facts.hand_written:,} hand-written sentences and {facts.generated:,} of a grammar, and has
{facts.trigrams:,} trigrams.

| file | content |
| --- | --- |
{contents}
## Sources and licences

| source | used for | licence |
| --- | --- | --- |
| sentences, grammar and word list | language model, training text | written for this project, Apache-2.0 |
| cmudict | pronunciations in the graph | BSD-like, Carnegie Mellon University |
| espeak-ng | synthetic speech for training | the program is GPL-3.0; its output is not covered by that |
| flite, festival and their voices | synthetic speech for training | BSD-like, Carnegie Mellon University and others |

The folder contains no sound of any of them.
"""
