"""The folder of a model: complete or not there, and described."""

import re
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("scipy")

from audio.demo_model.evaluation import OUTSIDE, STYLE, Evaluation, Score, VoiceScore
from audio.demo_model.model_folder import Facts, ModelFolderError, readme, size_bytes, write, write_readme
from audio.model import find_model

PAIR = {
    "HCLr.fst": b"lexicon",
    "Gr.fst": b"grammar",
    "words.txt": b"<eps> 0\n",
    "phones/word_boundary.int": b"1 nonword\n",
}
STATIC = {"HCLG.fst": b"graph", "words.txt": b"<eps> 0\n", "phones/word_boundary.int": b"1 nonword\n"}
FACTS = Facts(9_400, 4_000, 40_000, 60_000, 1_300_000, 12.5)
RESULT = Evaluation(
    (
        VoiceScore("flite rms", True, STYLE, Score(7, 100, 5, 12)),
        VoiceScore("flite rms", True, OUTSIDE, Score(20, 100, 5, 12)),
    ),
    (),
    audio_s=60,
    decode_s=1.5,
    load_s=0.04,
    memory_bytes=40_000_000,
)


def write_network(path: Path) -> None:
    path.write_bytes(b"network")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_written_folder_is_a_model_that_the_ear_accepts(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "english"
    write(folder, PAIR, write_network, "# A model\n")
    assert find_model(folder).rate_hz == 16000
    found = content(folder)
    assert set(found) == {
        *("README.md", "am/final.mdl", "conf/mfcc.conf", "conf/model.conf"),
        *(f"graph/{name}" for name in PAIR),
    }
    assert found["am/final.mdl"] == b"network"
    assert found["graph/Gr.fst"] == b"grammar"
    assert size_bytes(folder) == sum(map(len, found.values()))


def test_a_model_that_was_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "english"
    write(folder, STATIC, write_network, "# The first\n")
    write(folder, PAIR, write_network, "# The second\n")
    assert "graph/HCLG.fst" not in content(folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == "# The second\n"
    assert [path.name for path in tmp_path.iterdir()] == ["english"]


def test_the_model_before_stays_when_the_network_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "english"
    write(folder, STATIC, write_network, "# The first\n")
    before = content(folder)

    def fail(path: Path) -> None:
        path.write_bytes(b"half a netw")
        raise ValueError("the network is not finished")

    with pytest.raises(ValueError, match="not finished"):
        write(folder, PAIR, fail, "# The second\n")
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["english"]


def test_the_model_before_stays_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "english"
    write(folder, STATIC, write_network, "# The first\n")
    before = content(folder)
    rename = Path.rename

    def refuse_the_new(self: Path, target: Path) -> Path:
        if self.name == "model":
            raise OSError("no space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(ModelFolderError, match=r"english cannot be written: no space left"):
        write(folder, PAIR, write_network, "# The second\n")
    assert content(folder) == before


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelFolderError, match="cannot be written"):
        write(tmp_path / "file" / "english", PAIR, write_network, "")


def test_the_description_can_be_replaced_alone(tmp_path: Path) -> None:
    folder = tmp_path / "english"
    write(folder, PAIR, write_network, "# Not evaluated\n")
    write_readme(folder, "# Evaluated\n")
    assert content(folder)["README.md"] == b"# Evaluated\n"
    assert len(content(folder)) == 4 + len(PAIR)
    with pytest.raises(ModelFolderError, match=r"README\.md cannot be written"):
        write_readme(tmp_path / "nothing", "# Evaluated\n")


def test_the_description_has_the_facts_and_the_results() -> None:
    text = readme(FACTS, PAIR, RESULT)
    for part in ("9,400 words", "4,000 hand-written", "60,000", "1,300,000 weights", "12.5 hours"):
        assert part in text
    assert "| flite rms | no | 7.0 % of 100 | 20.0 % of 100 | 8.3 % |" in text
    assert "each second took 0.025 s" in text


def test_the_description_lists_the_files_of_the_model_and_no_others() -> None:
    assert "HCLG" not in readme(FACTS, PAIR)
    assert "HCLr" not in readme(FACTS, STATIC)
    assert "[unk]" in readme(FACTS, PAIR)
    assert "[unk]" not in readme(FACTS, STATIC)
    assert "has not been evaluated" in readme(FACTS, STATIC)


def test_the_description_has_no_gaps_and_no_long_lines() -> None:
    text = readme(FACTS, PAIR, RESULT)
    assert not re.search(r"\n\n\n|[{}]", text)
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))
