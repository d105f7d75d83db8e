import numpy as np
import pytest

torch = pytest.importorskip("torch")

from audio.demo_model import network as net  # noqa: E402


def _random_network(seed: int = 0) -> net.Network:
    torch.manual_seed(seed)
    network = net.Network(hidden=16, pdfs=6)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 30, 31, 32])
def test_there_is_an_output_for_every_third_frame(frames: int) -> None:
    found = _random_network()(torch.randn(2, frames, net.FEATURES))
    assert found.shape == (2, net.output_frames(frames), 6)
    assert net.output_frames(frames) == len(range(0, frames, net.SUBSAMPLING))


def test_an_output_depends_on_its_context_and_on_nothing_beyond() -> None:
    network = _random_network()
    features = torch.randn(200, net.FEATURES)
    centre = 33
    before = net.scores(network, features)[centre]
    at = centre * net.SUBSAMPLING
    for distance, changes in ((net.CONTEXT, True), (net.CONTEXT + 1, False)):
        for frame in (at - distance, at + distance):
            changed = features.clone()
            changed[frame] += 5.0
            assert bool((net.scores(network, changed)[centre] != before).any()) == changes


def test_an_utterance_goes_on_with_its_first_and_last_frame() -> None:
    network = _random_network()
    features = torch.randn(60, net.FEATURES)
    around = torch.cat([features[:1].expand(60, -1), features, features[-1:].expand(60, -1)])
    torch.testing.assert_close(net.scores(network, features), net.scores(network, around)[20:40])


def test_padding_does_not_change_the_scores_of_a_short_utterance() -> None:
    network = _random_network()
    short, long = torch.randn(31, net.FEATURES), torch.randn(60, net.FEATURES)
    together = network(net.pad([short, long]))
    torch.testing.assert_close(together[0, : net.output_frames(31)], net.scores(network, short))


def test_the_gradient_of_the_rectified_normal_is_that_of_its_formula() -> None:
    x = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net.rectify_normalise, (x,))
    rectified = x.detach().clamp_min(0)
    expected = rectified / rectified.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(net.rectify_normalise(x), expected)


def test_all_negative_inputs_become_zeros() -> None:
    x = torch.full((1, 1, 4), -1.0, requires_grad=True)
    y = net.rectify_normalise(x)
    y.sum().backward()
    assert not y.any()
    assert x.grad is not None
    assert not x.grad.any()


def test_dropout_leaves_out_whole_channels_and_keeps_the_mean() -> None:
    network = _random_network()
    features = torch.randn(1, 90, net.FEATURES)
    chance = torch.Generator().manual_seed(1)
    once = network(features, 0.5, chance)
    assert not torch.equal(once, network(features, 0.5, chance))
    assert torch.equal(once, network(features, 0.5, torch.Generator().manual_seed(1)))
    assert torch.equal(network(features), network(features, 0.0, chance))


def test_features_are_normalised_by_the_sample() -> None:
    network = net.Network()
    sample = torch.randn(500, net.FEATURES) * 3 + 7
    network.normalise_features(sample)
    normal = (sample - network.mean) / network.deviation
    torch.testing.assert_close(normal.mean(0), torch.zeros(net.FEATURES), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(0), torch.ones(net.FEATURES))


def test_the_exported_arrays_are_the_whole_state() -> None:
    network = _random_network()
    found = net.arrays(network.state_dict())
    assert set(found) == set(network.state_dict())
    assert found["entry.weight"].shape == (16, 9 * net.FEATURES)
    np.testing.assert_array_equal(found["exit.bias"], network.exit.bias.detach().numpy())


def test_the_network_has_1_3_million_weights() -> None:
    assert net.parameters_of(net.Network()) == 1_294_160
