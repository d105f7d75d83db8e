import shutil
from pathlib import Path

import pytest

from audio.model import DEMONSTRATION, ModelError, find_model
from audio.recogniser import load


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(DEMONSTRATION, tmp_path / "vosk-model-tiny")


def test_the_demonstration_model_says_what_it_is() -> None:
    found = find_model()
    assert found.is_demonstration
    assert found.name == "demonstration-en"
    assert found.rate_hz == 16000
    assert find_model(DEMONSTRATION).is_demonstration


def test_another_folder_is_no_demonstration(model: Path) -> None:
    found = find_model(model)
    assert not found.is_demonstration
    assert found.name == "vosk-model-tiny"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model at .*nowhere"):
        find_model(tmp_path / "nowhere")


def test_a_file_is_told_to_be_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"model\.zip is a file; unpack it"):
        find_model(archive)


@pytest.mark.parametrize(
    "missing", ["am/final.mdl", "conf/model.conf", "conf/mfcc.conf", "graph/HCLr.fst", "graph/Gr.fst"]
)
def test_a_missing_part_is_named(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        find_model(model)


def test_an_empty_part_counts_as_missing(model: Path) -> None:
    (model / "am" / "final.mdl").write_bytes(b"")
    with pytest.raises(ModelError, match=r"am/final\.mdl missing or empty"):
        find_model(model)


def test_a_graph_in_one_part_will_do(model: Path) -> None:
    (model / "graph" / "HCLr.fst").rename(model / "graph" / "HCLG.fst")
    (model / "graph" / "Gr.fst").unlink()
    assert find_model(model).path == model


def test_the_folder_around_a_model_leads_to_it(model: Path) -> None:
    with pytest.raises(ModelError, match=r"did you mean the folder inside it, .*vosk-model-tiny"):
        find_model(model.parent)


def test_the_models_own_sample_rate_is_read(model: Path) -> None:
    (model / "conf" / "mfcc.conf").write_text("--use-energy=false\n--sample-frequency=8000\n")
    assert find_model(model).rate_hz == 8000
    (model / "conf" / "mfcc.conf").write_text("--use-energy=false\n")
    assert find_model(model).rate_hz == 16000


def test_an_impossible_sample_rate_is_told(model: Path) -> None:
    (model / "conf" / "mfcc.conf").write_text("--sample-frequency=1\n")
    with pytest.raises(ModelError, match="sample frequency of 1 Hz"):
        find_model(model)


def test_a_cut_off_network_is_told_when_it_is_loaded(model: Path) -> None:
    network = model / "am" / "final.mdl"
    network.write_bytes(network.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="vosk-model-tiny is damaged"):
        load(model)
