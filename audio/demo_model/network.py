"""The acoustic model: a residual time-delay network (TDNN) that scores the pdfs of every unit at 33 frames a second.

It is built from the parts that Kaldi's nnet3 has (spliced affine layers, rectifiers, normalisation to unit root mean
square, sums), so that `audio.demo_model.kaldi_file` can write it for Vosk.
"""

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audio.demo_model.phones import PDFS

FEATURES: Final = 40
HIDDEN: Final = 256
SPLICE: Final = 4
"""Feature frames on either side that the first layer sees."""
STEPS: Final = (1, 1, 1, 2, 2, 3)
"""How far each residual layer looks to either side, in output frames."""
SUBSAMPLING: Final = 3
"""Feature frames for each output frame."""
CONTEXT: Final = SPLICE + SUBSAMPLING * sum(STEPS)
"""Feature frames on either side that one output depends on."""

_LEAST_SQUARE: Final = 2.0**-66
"""The floor below which Kaldi's NormalizeComponent does not divide (nnet-normalize-component.h)."""


def output_frames(frames: int) -> int:
    """How many output frames the network gives for `frames` feature frames."""
    return (frames + SUBSAMPLING - 1) // SUBSAMPLING


class _RectifyNormalise(torch.autograd.Function):
    """A rectifier and Kaldi's NormalizeComponent in one, since one backward pass over both is cheaper than six."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rectified = x.relu()
        inverse = torch.rsqrt((rectified * rectified).mean(-1, keepdim=True).clamp_min_(_LEAST_SQUARE))
        normal = rectified.mul_(inverse)
        ctx.save_for_backward(normal, inverse)
        return normal

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        normal, inverse = ctx.saved_tensors
        gradient = gradients[0].to(normal.dtype)
        along = (gradient * normal).mean(-1, keepdim=True)
        across = torch.addcmul(gradient, normal, along, value=-1).mul_(inverse)
        slope: Tensor = torch.ops.aten.threshold_backward(across, normal, 0)
        return slope


def rectify_normalise(x: Tensor) -> Tensor:
    """`x` without its negative values, scaled so that the mean square over the last axis is 1."""
    result: Tensor = _RectifyNormalise.apply(x)
    return result


class Network(nn.Module):
    """Features (utterances, frames, 40) to log-scores (utterances, ceil(frames / 3), pdfs).

    Output frame k belongs to feature frame 3k. Beyond its ends an utterance goes on with its first and last frame, as
    in Kaldi's decoder. The weights of a layer are in Kaldi's order: (outputs, offset in time, inputs), the last two
    as one axis.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, hidden: int = HIDDEN, pdfs: int = PDFS) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.entry = nn.Linear((2 * SPLICE + 1) * FEATURES, hidden)
        self.layers = nn.ModuleList(nn.Linear(3 * hidden, hidden) for _ in STEPS)
        self.exit = nn.Linear(hidden, pdfs)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(self, features: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Log-scores, not normalised.

        `dropout` is the chance of a layer's output to be left out for a whole utterance, drawn from `generator`.
        """
        x = (features - self.mean) / self.deviation
        count, frames, _ = x.shape
        after = CONTEXT - (frames - 1) % SUBSAMPLING
        x = torch.cat([x[:, :1].expand(-1, CONTEXT, -1), x, x[:, -1:].expand(-1, after, -1)], 1)
        x = x.reshape(count, -1).unfold(1, (2 * SPLICE + 1) * FEATURES, SUBSAMPLING * FEATURES)
        x = rectify_normalise(self.entry(x))
        for step, layer in zip(STEPS, self.layers, strict=True):
            middle = x[:, step:-step]
            y = rectify_normalise(layer(torch.cat([x[:, : -2 * step], middle, x[:, 2 * step :]], 2)))
            if dropout:
                kept = torch.rand(count, 1, y.shape[2], generator=generator) >= dropout
                y = y * (kept.to(y.dtype) / (1.0 - dropout))
            x = middle + y
        result: Tensor = self.exit(x)
        return result

    def normalise_features(self, sample: Tensor) -> None:
        """Take the mean and the deviation of each feature from `sample` (frames, 40)."""
        self.mean.copy_(sample.mean(0))
        self.deviation.copy_(sample.std(0))


def arrays(state: dict[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """A network's `state_dict` as plain arrays, under the same names: what `kaldi_file.write_model` takes."""
    return {name: value.detach().double().numpy() for name, value in state.items()}


def parameters_of(network: nn.Module) -> int:
    """How many weights are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def pad(utterances: list[Tensor]) -> Tensor:
    """Utterances (frames, 40) of any lengths as one tensor; short ones go on with their last frame."""
    longest = max(len(utterance) for utterance in utterances)
    return torch.stack(
        [torch.cat([utterance, utterance[-1:].expand(longest - len(utterance), -1)]) for utterance in utterances]
    )


def scores(network: nn.Module, features: Tensor) -> Tensor:
    """The log-scores (frames, pdfs) of one utterance's `features` (frames, 40), in single precision."""
    with torch.inference_mode():
        result: Tensor = network(features[None])[0]
    return result
