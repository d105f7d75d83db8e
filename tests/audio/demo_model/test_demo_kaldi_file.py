import json
import re
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio.demo_model import kaldi_file
from audio.demo_model.kaldi_file import KaldiFileError, KaldiModel, read_model, write_model
from audio.demo_model.phones import KALDI_PHONES, unit_of
from audio.model import DEMONSTRATION

SPEECH = Path(__file__).parents[3] / "demo" / "speech"
UNITS = tuple(unit_of(phone) for phone in KALDI_PHONES[1:])
STEPS = (1, 1, 1, 2, 2, 3)
SUBSAMPLING = 3

Arrays = dict[str, NDArray[np.float64]]


def _arrays(hidden: int = 256, features: int = 40, seed: int = 1) -> Arrays:
    rng = np.random.default_rng(seed)
    found = {"mean": rng.normal(0, 20, features), "deviation": rng.uniform(5, 20, features)}
    sizes = {"entry": (hidden, 9 * features), "exit": (80, hidden)}
    sizes |= {f"layers.{number}": (hidden, 3 * hidden) for number in range(len(STEPS))}
    for name, (outputs, inputs) in sizes.items():
        found[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs))
        found[f"{name}.bias"] = rng.normal(0, 0.1, outputs)
    return found


def _write(path: Path, arrays: Arrays, compress: bool = True) -> KaldiModel:
    write_model(path, arrays, UNITS, steps=STEPS, subsampling=SUBSAMPLING, compress=compress)
    return read_model(path.read_bytes())


class Interpreter:
    """Runs the network of a model file, node by node, as its configuration says."""

    def __init__(self, model: KaldiModel, features: NDArray[np.float64]) -> None:
        self._components = model.components
        self._nodes = {
            line.split("name=")[1].split(" ")[0]: line.split("input=")[1].removesuffix(" objective=linear")
            for line in model.config
            if "input=" in line
        }
        self._features = features
        self._known: dict[tuple[str, int], NDArray[np.float64]] = {}

    def output(self, time: int) -> NDArray[np.float64]:
        return self._value("output", time)

    def _value(self, expression: str, time: int) -> NDArray[np.float64]:
        if expression == "input":
            return np.asarray(self._features[min(max(time, 0), len(self._features) - 1)])
        if found := re.fullmatch(r"Offset\((\S+), (-?\d+)\)", expression):
            return self._value(found[1], time + int(found[2]))
        if found := re.fullmatch(r"(Append|Sum)\((.+)\)", expression):
            terms = [self._value(term, time) for term in re.split(r", (?![^(]*\))", found[2])]
            return np.concatenate(terms) if found[1] == "Append" else sum(terms, np.zeros_like(terms[0]))
        key = (expression, time)
        if key not in self._known:
            value = self._value(self._nodes[expression], time)
            self._known[key] = value if expression == "output" else self._apply(expression, value)
        return self._known[key]

    def _apply(self, name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        kind, fields = self._components[name]
        if kind == "NaturalGradientAffineComponent":
            result: NDArray[np.float64] = fields["LinearParams"].astype(np.float64) @ x + fields["BiasParams"]
            return result
        if kind == "RectifiedLinearComponent":
            return np.maximum(x, 0.0)
        if kind == "NormalizeComponent":
            return np.asarray(x * (fields["TargetRms"] / np.sqrt(max(float(np.mean(x**2)), 2.0**-66))))
        assert kind == "NoOpComponent"
        return x


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    arrays = _arrays(hidden=8, features=5)
    model = _write(tmp_path / "final.mdl", arrays, compress=False)
    assert model.tuples == tuple((phone, 0, 2 * unit, 2 * unit + 1) for phone, unit in enumerate(UNITS, 1))
    np.testing.assert_allclose(model.log_probabilities, [0.0] + [np.log(0.5)] * (2 * len(UNITS)))
    assert model.left_context == model.right_context == 4 + 3 * 10
    assert model.priors.size == 0
    for number in range(len(STEPS)):
        fields = model.components[f"layer{number + 1}.affine"].fields
        np.testing.assert_array_equal(fields["LinearParams"], arrays[f"layers.{number}.weight"].astype(np.float32))
        np.testing.assert_array_equal(fields["BiasParams"], arrays[f"layers.{number}.bias"].astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3) | st.just(0.0), st.integers(0, 99)
)
def test_compressed_matrices_are_within_half_a_level(
    rows: int, columns: int, least: float, span: float, seed: int
) -> None:
    values = least + span * np.random.default_rng(seed).random((rows, columns))
    reader = kaldi_file._Reader(kaldi_file._matrix(values, compress=True))
    found = reader.matrix()
    assert found.shape == values.shape
    tolerance = max(span, 1e-5) / 65535 * 0.51 + 4e-7 * (abs(least) + span)
    np.testing.assert_allclose(found, values, rtol=0, atol=tolerance)


def test_compression_halves_the_file(tmp_path: Path) -> None:
    arrays = _arrays()
    _write(tmp_path / "large.mdl", arrays, compress=False)
    _write(tmp_path / "small.mdl", arrays)
    large, small = ((tmp_path / name).stat().st_size for name in ("large.mdl", "small.mdl"))
    assert small < 0.53 * large


def _torch_scores(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.float64]:
    torch = pytest.importorskip("torch")
    from audio.demo_model.network import Network, scores

    network = Network()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    result: NDArray[np.float64] = scores(network.double(), torch.from_numpy(features)).numpy()
    return result


@pytest.mark.parametrize(("compress", "tolerance"), [(False, 1e-4), (True, 5e-3)])
def test_the_file_computes_what_the_network_computes(tmp_path: Path, compress: bool, tolerance: float) -> None:
    arrays = _arrays()
    features = np.random.default_rng(2).normal(0, 20, (50, 40))
    expected = _torch_scores(arrays, features)
    interpreter = Interpreter(_write(tmp_path / "final.mdl", arrays, compress), features)
    found = np.stack([interpreter.output(time) for time in range(0, 50, SUBSAMPLING)])
    assert expected.std() > 0.3
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_the_arrays_of_the_network_are_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from audio.demo_model import network

    arrays = network.arrays(network.Network().state_dict())
    assert {name: value.shape for name, value in arrays.items()} == {
        name: value.shape for name, value in _arrays().items()
    }
    assert (network.STEPS, network.SUBSAMPLING) == (STEPS, SUBSAMPLING)
    assert _write(tmp_path / "final.mdl", arrays).left_context == network.CONTEXT


def _shipped() -> KaldiModel:
    return read_model((DEMONSTRATION / "am" / "final.mdl").read_bytes())


def _recognise(model: Path, samples: bytes) -> list[dict[str, Any]]:
    """Vosk's words, with their times and confidences."""
    vosk = pytest.importorskip("vosk")
    vosk.SetLogLevel(-1)
    recogniser = vosk.KaldiRecognizer(vosk.Model(str(model)), 16000)
    recogniser.SetWords(True)
    recogniser.AcceptWaveform(samples)
    return list(json.loads(recogniser.FinalResult()).get("result", []))


def _speech() -> bytes:
    with wave.open(str(SPEECH / "mirror.wav")) as file:
        assert file.getframerate() == 16000
        return bytes(file.readframes(file.getnframes()))


@pytest.mark.servers
def test_vosk_hears_the_same_when_the_shipped_network_is_written_again(tmp_path: Path) -> None:
    affine = [found.fields for found in _shipped().components.values() if "LinearParams" in found.fields]
    names = ["entry", *(f"layers.{number}" for number in range(len(STEPS))), "exit"]
    arrays = {"mean": np.full(40, 3.0), "deviation": np.full(40, 7.0)}
    for name, fields in zip(names, affine, strict=True):
        arrays[f"{name}.weight"] = fields["LinearParams"].astype(np.float64)
        arrays[f"{name}.bias"] = fields["BiasParams"].astype(np.float64)
    # What writing will fold in again.
    arrays["entry.bias"] = arrays["entry.bias"] + 3.0 * arrays["entry.weight"].sum(1)
    arrays["entry.weight"] = arrays["entry.weight"] * 7.0
    model = tmp_path / "model"
    shutil.copytree(DEMONSTRATION, model)
    _write(model / "am" / "final.mdl", arrays)

    expected = _recognise(DEMONSTRATION, _speech())
    found = _recognise(model, _speech())
    assert len(expected) > 5
    assert [word["word"] for word in found] == [word["word"] for word in expected]
    for key, tolerance in (("start", 0.02), ("end", 0.02), ("conf", 0.02)):
        assert [word[key] for word in found] == pytest.approx([word[key] for word in expected], abs=tolerance)


@pytest.mark.servers
def test_vosk_loads_any_weights_and_hears_something_else(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(DEMONSTRATION, model)
    _write(model / "am" / "final.mdl", _arrays())
    found, shipped = ([word["word"] for word in _recognise(path, _speech())] for path in (model, DEMONSTRATION))
    assert found != shipped


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-5], "ends within"),
        (lambda data: b"xx" + data[2:], "no binary Kaldi file"),
        (lambda data: data.replace(b"<Tuples>", b"<Triples>"), "not '<Tuples>'"),
        (lambda data: data.replace(b"<TargetRms>", b"<TargetDim>"), "unknown field '<TargetDim>'"),
        (lambda data: data.replace(b"FM ", b"CM3 ", 1), "neither FM nor CM2"),
        (lambda data: data[:300], "ends within|no end of the text"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "final.mdl"
    _write(path, _arrays(hidden=4, features=3), compress=False)
    with pytest.raises(KaldiFileError, match=message):
        read_model(spoil(path.read_bytes()))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_worse_than_refused(rubbish: bytes) -> None:
    with pytest.raises(KaldiFileError):
        read_model(kaldi_file.BINARY + rubbish)
