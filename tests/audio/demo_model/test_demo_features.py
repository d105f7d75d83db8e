from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from audio.demo_model import augmentation  # noqa: E402
from audio.demo_model.mfcc import CEPSTRA, FRAME_SAMPLES, FRAME_STEP_SAMPLES, MFCC_CONF, RATE_HZ, mfcc  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


def tone(hertz: float, duration_s: float = 0.5) -> Any:
    return 8000 * np.sin(2 * np.pi * hertz * np.arange(int(duration_s * RATE_HZ)) / RATE_HZ)


def swelling_noise(count: int = 32000) -> Any:
    noise = np.random.default_rng(0).standard_normal(count)
    return np.round(noise * 1000 * np.sin(np.arange(count) / 4000) ** 2)


def kaldi_mfcc(samples: Any, conf: str) -> Any:
    """The features that Kaldi's own code computes with the options of `conf`."""
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.MfccOptions()
    settings_of = dict(line.removeprefix("--").split("=") for line in conf.splitlines())
    options.frame_opts.samp_freq = float(settings_of.pop("sample-frequency"))
    options.frame_opts.dither = float(settings_of.pop("dither"))
    options.use_energy = settings_of.pop("use-energy") == "true"
    options.num_ceps = int(settings_of.pop("num-ceps"))
    options.mel_opts.num_bins = int(settings_of.pop("num-mel-bins"))
    options.mel_opts.low_freq = float(settings_of.pop("low-freq"))
    options.mel_opts.high_freq = float(settings_of.pop("high-freq"))
    assert not settings_of
    online = kaldi.OnlineMfcc(options)
    online.accept_waveform(options.frame_opts.samp_freq, samples.tolist())
    online.input_finished()
    return np.stack([online.get_frame(number) for number in range(online.num_frames_ready)])


@pytest.mark.parametrize("samples", [swelling_noise(), swelling_noise(4711), np.round(tone(440.0)), np.zeros(1600)])
def test_the_features_are_those_of_kaldi_with_the_configuration_of_the_model(samples: Any) -> None:
    reference = kaldi_mfcc(samples, MFCC_CONF)
    features = mfcc(samples)
    assert features.dtype == np.float32
    assert features.shape == reference.shape
    assert np.abs(features - reference).max() < 0.05


@given(st.integers(0, 4000))
def test_only_whole_frames_count(count: int) -> None:
    frames = 0 if count < FRAME_SAMPLES else 1 + (count - FRAME_SAMPLES) // FRAME_STEP_SAMPLES
    features = mfcc(np.ones(count))
    assert features.shape == (frames, CEPSTRA)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("warp", [0.86, 1.16])
def test_a_warped_tone_has_the_features_of_a_tone_moved_by_as_much(warp: float) -> None:
    moved = mfcc(tone(1000.0 * warp))
    assert np.abs(mfcc(tone(1000.0), warp) - moved).mean() < 0.2 * np.abs(mfcc(tone(1000.0)) - moved).mean()


@given(SEEDS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_augmented_speech_is_whole_numbers_of_16_bits_and_a_level_below_full_scale(seed: int, heavy: bool) -> None:
    signal = augmentation.augment(tone(300.0), np.random.default_rng(seed), heavy=heavy)
    assert np.array_equal(signal, np.round(signal))
    headroom_db = -20 * np.log10(np.abs(signal).max() / augmentation.FULL_SCALE)
    assert 0.9 < headroom_db < 26.1


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_variant(seed: int) -> None:
    one, two = (augmentation.augment(tone(300.0), np.random.default_rng(seed), heavy=True) for _ in range(2))
    assert np.array_equal(one, two)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_light_augmentation_keeps_the_speech_and_its_speed(seed: int) -> None:
    speech = tone(300.0)
    signal = augmentation.augment(speech, np.random.default_rng(seed), heavy=False)
    assert len(speech) + 2 * 0.05 * RATE_HZ <= len(signal) + 2 <= len(speech) + 2 * 0.6 * RATE_HZ + 2
    likeness = np.correlate(signal, speech, "valid").max() / (np.linalg.norm(signal) * np.linalg.norm(speech))
    assert likeness > 0.99


def test_heavy_augmentation_changes_the_speed_of_half_of_the_copies_and_at_most_as_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation, "_PAUSE_S", (0.0, 0.0))
    speech = tone(300.0)
    speeds = [
        len(augmentation.augment(speech, np.random.default_rng(seed), heavy=True, speed_change=0.2)) / len(speech)
        for seed in range(100)
    ]
    assert 0.8 <= min(speeds) < 0.85
    assert 1.15 < max(speeds) <= 1.2
    assert 30 < speeds.count(1.0) < 70


@given(st.integers(100, 20000), SEEDS)
@settings(max_examples=40, deadline=None)
def test_noise_has_unit_level_and_the_length_asked_for(count: int, seed: int) -> None:
    noise = augmentation.coloured_noise(count, np.random.default_rng(seed))
    assert noise.shape == (count,)
    assert np.std(noise) == pytest.approx(1.0, rel=1e-6)


def test_a_room_keeps_the_direct_sound_and_adds_a_tail_that_dies_away() -> None:
    click = np.zeros(RATE_HZ)
    click[1000] = 1.0
    heard = augmentation.reverberate(click, np.random.default_rng(5))
    assert heard.shape == click.shape
    assert np.allclose(heard[:1000], 0.0)
    assert heard[1000] == pytest.approx(1.0)
    assert np.abs(heard[1001:1200]).max() > 10 * np.abs(heard[-6000:]).max()
    assert np.allclose(heard[1000 + RATE_HZ // 2 :], 0.0)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_an_equaliser_is_stable(seed: int) -> None:
    click = np.zeros(RATE_HZ)
    click[0] = 1.0
    heard = augmentation.equalise(click, np.random.default_rng(seed))
    assert heard.shape == click.shape
    assert 0.05 < np.abs(heard).sum() < 5.0
    assert np.abs(heard[RATE_HZ // 2 :]).max() < 1e-9
