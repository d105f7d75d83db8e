"""Which files Vosk reads of a model, and where they lie: in today's layout, or in the flat one of older models."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from audio.model import ModelError

Parts = tuple[str, ...]
"""A path inside an archive or a folder, part by part."""

FILES: Final = frozenset(
    {
        "am/final.mdl",
        "am/global_cmvn.stats",
        "conf/fbank.conf",
        "conf/mfcc.conf",
        "conf/model.conf",
        "conf/pitch.conf",
        "graph/Gr.fst",
        "graph/HCLG.fst",
        "graph/HCLr.fst",
        "graph/disambig_tid.int",
        "graph/phones/word_boundary.int",
        "graph/words.txt",
        "ivector/final.dubm",
        "ivector/final.ie",
        "ivector/final.mat",
        "ivector/global_cmvn.stats",
        "ivector/online_cmvn.conf",
        "ivector/splice.conf",
        "rescore/G.carpa",
        "rescore/G.fst",
        "rnnlm/feat_embedding.final.mat",
        "rnnlm/final.raw",
        "rnnlm/special_symbol_opts.conf",
        "rnnlm/word_feats.txt",
    }
)
"""All that libvosk 0.3.45 opens in a model (vosk-api, src/model.cc; the names in libvosk.so)."""

_FLAT: Final = {
    "final.mdl": "am/final.mdl",
    "mfcc.conf": "conf/mfcc.conf",
    "HCLG.fst": "graph/HCLG.fst",
    "HCLr.fst": "graph/HCLr.fst",
    "Gr.fst": "graph/Gr.fst",
    "disambig_tid.int": "graph/disambig_tid.int",
    "words.txt": "graph/words.txt",
    "word_boundary.int": "graph/phones/word_boundary.int",
} | {name: name for name in FILES if name.startswith(("ivector/", "rescore/"))}
"""From the flat layout to today's (vosk-api, src/model.cc, `ConfigureV1` and `ConfigureV2`). Models in it are still
offered, among them the only small ones for some languages."""

NAMES: Final = FILES | _FLAT.keys()
"""Every name that a file of a model may have, in either layout."""

CONFIGURATION_NAME: Final = "conf/model.conf"
FLAT_CONFIGURATION: Final = (
    b"--max-active=7000\n"
    b"--beam=13.0\n"
    b"--lattice-beam=6.0\n"
    b"--acoustic-scale=1.0\n"
    b"--frame-subsampling-factor=3\n"
    b"--endpoint.silence-phones=1:2:3:4:5:6:7:8:9:10\n"
    b"--endpoint.rule2.min-trailing-silence=0.5\n"
    b"--endpoint.rule3.min-trailing-silence=1.0\n"
    b"--endpoint.rule4.min-trailing-silence=2.0\n"
)
"""The decoder's options of a flat model: those that Vosk has built in for the models that bring none of their own."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A model that was found among files."""

    folder: str
    """The name of the folder that it lies in; empty if it lies at the top."""
    files: dict[Parts, str]
    """Which files to take, and where Vosk looks for each."""
    is_flat: bool


def arrange(paths: Collection[Parts], where: str) -> Arrangement:
    """Find the one model among `paths`, those of `where`. Raises `ModelError` if there is none, or more than one."""
    known = frozenset(paths)
    roots = {parts[:-2] for parts in known if parts[-2:] == ("am", "final.mdl")}
    flat_roots = {
        parts[:-1]
        for parts in known
        if parts[-1] == "final.mdl" and parts[-2:-1] != ("am",) and (*parts[:-1], "mfcc.conf") in known
    }
    found = roots or flat_roots
    if not found:
        raise ModelError(f"{where} holds no speech model of Vosk: there is no am/final.mdl in it")
    if len(found) > 1:
        names = sorted("/".join(root) or "." for root in found)
        raise ModelError(f"{where} holds {len(found)} models: {', '.join(names[:5])}; name one of them")
    root = next(iter(found))
    wanted = {name: name for name in FILES} if roots else _FLAT
    files = {parts: name for source, name in wanted.items() if (parts := (*root, *source.split("/"))) in known}
    return Arrangement(root[-1] if root else "", files, is_flat=not roots)
