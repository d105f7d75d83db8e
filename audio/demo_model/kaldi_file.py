"""Kaldi's binary model file, `am/final.mdl`: written from plain arrays, and read back.

The format is that of Kaldi's `nnet3-am` files (hmm/transition-model.cc, nnet3/nnet-nnet.cc and
matrix/compressed-matrix.cc in Kaldi 5.5): tokens that end in a space, numbers as a byte with their size and
little-endian bytes, one letter for a truth. Only what the demonstration model has can be read.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINARY: Final = b"\0B"
_LEVELS: Final = 65535
"""The steps between the least and the greatest value of a 16-bit matrix."""
_LEAST_SPAN: Final = 1e-5
"""The range of a 16-bit matrix of equal numbers: Kaldi divides by it."""
_P_FORWARD: Final = 0.5
_AFFINE: Final = "NaturalGradientAffineComponent"
_RECTIFIER: Final = "RectifiedLinearComponent"
_NORMALISER: Final = "NormalizeComponent"
_NOTHING: Final = "NoOpComponent"

Array = NDArray[np.float64]


class KaldiFileError(ValueError):
    """A file that is no model as `write_model` writes it. One sentence."""


# --- writing -----------------------------------------------------------------------------------------------------


def write_model(
    path: Path,
    arrays: Mapping[str, Array],
    units: Sequence[int],
    *,
    steps: Sequence[int],
    subsampling: int,
    compress: bool = True,
) -> None:
    """Write a network and its transition model to `path`.

    `arrays` are those of `network.arrays`: `mean` and `deviation` of the features, then weight and bias of `entry`, of
    each of `layers` and of `exit`. `units` has the unit of every Kaldi phone but epsilon, in order; unit u has the pdfs
    2u and 2u + 1. `steps` are the offsets of the layers in output frames of `subsampling` feature frames. With
    `compress` the large matrices have 16 bits for each number, else 32.
    """
    path.write_bytes(BINARY + _transition_model(units) + _network(arrays, steps, subsampling, compress))


def _token(text: str) -> bytes:
    return text.encode("ascii") + b" "


def _integer(value: int) -> bytes:
    return b"\4" + struct.pack("<i", value)


def _float(value: float) -> bytes:
    return b"\4" + struct.pack("<f", value)


def _integers(values: Sequence[int]) -> bytes:
    return b"\4" + struct.pack("<i", len(values)) + np.asarray(values, "<i4").tobytes()


def _vector(values: ArrayLike) -> bytes:
    numbers = np.asarray(values, "<f4")
    return _token("FV") + _integer(numbers.size) + numbers.tobytes()


def _matrix(values: ArrayLike, compress: bool) -> bytes:
    numbers = np.asarray(values, "<f4")
    rows, columns = numbers.shape
    if not compress:
        return _token("FM") + _integer(rows) + _integer(columns) + numbers.tobytes()
    least = float(numbers.min())
    span = max(float(numbers.max()) - least, _LEAST_SPAN)
    levels = np.clip(np.rint((numbers - least) * (_LEVELS / span)), 0, _LEVELS).astype("<u2")
    return _token("CM2") + struct.pack("<ffii", least, span, rows, columns) + levels.tobytes()


def _component(name: str, kind: str, fields: Sequence[tuple[str, bytes]]) -> bytes:
    body = b"".join(_token(f"<{field}>") + value for field, value in fields)
    return _token("<ComponentName>") + _token(name) + _token(f"<{kind}>") + body + _token(f"</{kind}>")


def _affine(name: str, weight: Array, bias: Array, compress: bool) -> bytes:
    # The fields after the bias steer Kaldi's own training, and Kaldi wants them all the same.
    training = [("RankIn", _integer(20)), ("RankOut", _integer(80)), ("UpdatePeriod", _integer(4))]
    training += [("NumSamplesHistory", _float(2000.0)), ("Alpha", _float(4.0))]
    weights = [("LinearParams", _matrix(weight, compress)), ("BiasParams", _vector(bias))]
    return _component(name, _AFFINE, [("LearningRate", _float(0.001)), *weights, *training])


def _rectifier(name: str, size: int) -> bytes:
    statistics = [("ValueAvg", _vector([])), ("DerivAvg", _vector([])), ("Count", _float(0.0))]
    statistics += [("OderivRms", _vector([])), ("OderivCount", _float(0.0))]
    statistics += [("NumDimsSelfRepaired", _float(0.0)), ("NumDimsProcessed", _float(0.0))]
    return _component(name, _RECTIFIER, [("Dim", _integer(size)), *statistics])


def _normaliser(name: str, size: int) -> bytes:
    fields = [("InputDim", _integer(size)), ("TargetRms", _float(1.0)), ("AddLogStddev", b"F")]
    return _component(name, _NORMALISER, fields)


def _nothing(name: str, size: int) -> bytes:
    return _component(name, _NOTHING, [("Dim", _integer(size)), ("BackpropScale", _float(1.0))])


def _transition_model(units: Sequence[int]) -> bytes:
    """One emitting state for each phone, in the extended form whose self-loops have pdfs of their own."""
    count = len(units)
    parts = [_token("<TransitionModel>"), _token("<Topology>")]
    parts += [_integers(range(1, count + 1)), _integers([-1] + [0] * count)]
    # Minus one announces the extended form; then one topology of two states, the first with two ways out.
    parts += [_integer(number) for number in (-1, 1, 2, 0, 1, 2)]
    parts += [_integer(0), _float(1.0 - _P_FORWARD), _integer(1), _float(_P_FORWARD)]
    parts += [_integer(number) for number in (-1, -1, 0)]
    parts += [_token("</Topology>"), _token("<Tuples>"), _integer(count)]
    for phone, unit in enumerate(units, 1):
        parts += [_integer(number) for number in (phone, 0, 2 * unit, 2 * unit + 1)]
    logs = np.log([1.0] + [1.0 - _P_FORWARD, _P_FORWARD] * count)
    parts += [_token("</Tuples>"), _token("<LogProbs>"), _vector(logs), _token("</LogProbs>")]
    return b"".join([*parts, _token("</TransitionModel>")])


def _fold(arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """The first layer's weight and bias for features as they come, not normalised."""
    weight, bias = arrays["entry.weight"], arrays["entry.bias"]
    repeats = weight.shape[1] // arrays["mean"].size
    weight = weight / np.tile(arrays["deviation"], repeats)
    return weight, bias - weight @ np.tile(arrays["mean"], repeats)


def _spliced(source: str, offsets: Sequence[int]) -> str:
    return f"Append({', '.join(f'Offset({source}, {offset})' if offset else source for offset in offsets)})"


class _Plan:
    """The network's nodes and components, in the order of their use."""

    def __init__(self, features: int) -> None:
        self.lines = [f"input-node name=input dim={features}"]
        self.components: list[bytes] = []

    def add(self, name: str, source: str, component: bytes) -> None:
        self.lines.append(f"component-node name={name} component={name} input={source}")
        self.components.append(component)


def _network(arrays: Mapping[str, Array], steps: Sequence[int], subsampling: int, compress: bool) -> bytes:
    features = arrays["mean"].size
    hidden = arrays["entry.bias"].size
    splice = arrays["entry.weight"].shape[1] // features // 2
    weight, bias = _fold(arrays)
    plan = _Plan(features)
    plan.add(
        "entry.affine", _spliced("input", range(-splice, splice + 1)), _affine("entry.affine", weight, bias, compress)
    )
    plan.add("entry.relu", "entry.affine", _rectifier("entry.relu", hidden))
    plan.add("entry.sum", "entry.relu", _normaliser("entry.sum", hidden))
    before = "entry"
    for number, step in enumerate(steps):
        name = f"layer{number + 1}"
        weight, bias = arrays[f"layers.{number}.weight"], arrays[f"layers.{number}.bias"]
        offset = subsampling * step
        affine = _affine(f"{name}.affine", weight, bias, compress)
        plan.add(f"{name}.affine", _spliced(f"{before}.sum", (-offset, 0, offset)), affine)
        plan.add(f"{name}.relu", f"{name}.affine", _rectifier(f"{name}.relu", hidden))
        plan.add(f"{name}.norm", f"{name}.relu", _normaliser(f"{name}.norm", hidden))
        plan.add(f"{name}.sum", f"Sum({before}.sum, {name}.norm)", _nothing(f"{name}.sum", hidden))
        before = name
    exit_layer = _affine("output.affine", arrays["exit.weight"], arrays["exit.bias"], compress=False)
    plan.add("output.affine", f"{before}.sum", exit_layer)
    plan.lines.append("output-node name=output input=output.affine objective=linear")

    context = splice + subsampling * sum(steps)
    parts = [_token("<Nnet3>"), b"\n", "\n".join([*plan.lines, "", ""]).encode("ascii")]
    parts += [_token("<NumComponents>"), _integer(len(plan.components)), *plan.components, _token("</Nnet3>")]
    parts += [_token("<LeftContext>"), _integer(context), _token("<RightContext>"), _integer(context)]
    return b"".join([*parts, _token("<Priors>"), _vector([])])


# --- reading -----------------------------------------------------------------------------------------------------


class Component(NamedTuple):
    """A component of the network."""

    kind: str
    fields: dict[str, Any]
    """By name, without the angle brackets: numbers, truths, and float32 arrays."""


@dataclass(frozen=True, slots=True)
class KaldiModel:
    """What a model file says."""

    tuples: tuple[tuple[int, int, int, int], ...]
    """Phone, state, the pdf of its way on and that of its self-loop."""
    log_probabilities: NDArray[np.float32]
    """Of the transitions, which are numbered from 1."""
    config: tuple[str, ...]
    """The lines that connect the components."""
    components: dict[str, Component]
    left_context: int
    right_context: int
    priors: NDArray[np.float32]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if count < 0 or len(taken) < count:
            raise KaldiFileError(f"the model ends within its byte {self._at}; write it again")
        self._at += count
        return taken

    def until(self, mark: bytes) -> str:
        end = self._data.find(mark, self._at)
        if end < 0:
            raise KaldiFileError(f"the model has no end of the text at byte {self._at}; write it again")
        return self.take(end + len(mark) - self._at)[: -len(mark)].decode("ascii", "replace")

    def token(self) -> str:
        return self.until(b" ")

    def expect(self, *tokens: str) -> None:
        for expected in tokens:
            at, found = self._at, self.token()
            if found != expected:
                raise KaldiFileError(f"the model has {found!r} at byte {at}, not {expected!r}; write it again")

    def integer(self) -> int:
        return int(self._number("<i"))

    def float(self) -> float:
        return self._number("<f")

    def truth(self) -> bool:
        return self.take(1) == b"T"

    def integers(self) -> list[int]:
        count = self.integer()
        return np.frombuffer(self.take(4 * count), "<i4").tolist()

    def vector(self) -> NDArray[np.float32]:
        self.expect("FV")
        return self._floats(self.integer())

    def matrix(self) -> NDArray[np.float32]:
        kind = self.token()
        if kind == "FM":
            rows, columns = self.integer(), self.integer()
            return self._floats(rows * columns).reshape(rows, columns)
        if kind != "CM2":
            raise KaldiFileError(f"the model has a matrix of the kind {kind!r}, which is neither FM nor CM2")
        least, span, rows, columns = struct.unpack("<ffii", self.take(16))
        levels = np.frombuffer(self.take(2 * rows * columns), "<u2").reshape(rows, columns)
        return (least + levels * (span / _LEVELS)).astype(np.float32)

    def _number(self, kind: str) -> Any:
        if self.take(1) != b"\4":
            raise KaldiFileError(f"the model has no number of four bytes at byte {self._at - 1}; write it again")
        return struct.unpack(kind, self.take(4))[0]

    def _floats(self, count: int) -> NDArray[np.float32]:
        return np.frombuffer(self.take(4 * count), "<f4").astype(np.float32)


_FIELDS: Final[Mapping[str, Callable[[_Reader], Any]]] = {
    **dict.fromkeys(("RankIn", "RankOut", "UpdatePeriod", "Dim", "InputDim"), _Reader.integer),
    **dict.fromkeys(("LearningRate", "NumSamplesHistory", "Alpha", "Count", "OderivCount"), _Reader.float),
    **dict.fromkeys(("NumDimsSelfRepaired", "NumDimsProcessed", "TargetRms", "BackpropScale"), _Reader.float),
    **dict.fromkeys(("BiasParams", "ValueAvg", "DerivAvg", "OderivRms"), _Reader.vector),
    "LinearParams": _Reader.matrix,
    "AddLogStddev": _Reader.truth,
}


def read_model(data: bytes) -> KaldiModel:
    """The content of a model file that `write_model` wrote. Raises `KaldiFileError` for anything else."""
    reader = _Reader(data)
    if reader.take(2) != BINARY:
        raise KaldiFileError("this is no binary Kaldi file")
    tuples, logs = _read_transitions(reader)
    reader.expect("<Nnet3>")
    config = reader.until(b"\n\n").strip("\n").split("\n")
    reader.expect("<NumComponents>")
    components = dict(_read_component(reader) for _ in range(reader.integer()))
    reader.expect("</Nnet3>", "<LeftContext>")
    left = reader.integer()
    reader.expect("<RightContext>")
    right = reader.integer()
    reader.expect("<Priors>")
    return KaldiModel(tuples, logs, tuple(config), components, left, right, reader.vector())


def _read_transitions(reader: _Reader) -> tuple[tuple[tuple[int, int, int, int], ...], NDArray[np.float32]]:
    reader.expect("<TransitionModel>", "<Topology>")
    reader.integers()
    reader.integers()
    start = [reader.integer() for _ in range(6)]
    if start != [-1, 1, 2, 0, 1, 2]:
        raise KaldiFileError("the model's phones have another topology than one state with a self-loop")
    for _ in range(2):
        reader.integer()
        reader.float()
    for _ in range(3):
        reader.integer()
    reader.expect("</Topology>", "<Tuples>")
    tuples = tuple(
        (reader.integer(), reader.integer(), reader.integer(), reader.integer()) for _ in range(reader.integer())
    )
    reader.expect("</Tuples>", "<LogProbs>")
    logs = reader.vector()
    reader.expect("</LogProbs>", "</TransitionModel>")
    return tuples, logs


def _read_component(reader: _Reader) -> tuple[str, Component]:
    reader.expect("<ComponentName>")
    name, kind = reader.token(), reader.token().strip("<>")
    fields: dict[str, Any] = {}
    while (field := reader.token()) != f"</{kind}>":
        read = _FIELDS.get(field.strip("<>"))
        if read is None:
            raise KaldiFileError(f"the model's component {name} has an unknown field {field!r}")
        fields[field.strip("<>")] = read(reader)
    return name, Component(kind, fields)
