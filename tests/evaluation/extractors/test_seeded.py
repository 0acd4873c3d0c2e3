"""Extractors that follow from a seed: the same everywhere, and sensitive to what a metric has to see."""

import hashlib
from collections.abc import Callable

import pytest
import torch

from diff4splat.evaluation import (
    SeededClipFeatures,
    SeededFrameFeatures,
    SeededLevelLogits,
    SeededTextImage,
    clip_score,
    frechet_distance,
    kernel_distance,
    level_score,
    temporal_consistency,
)
from diff4splat.evaluation.extractors import (
    ClipFeatures,
    ExtractorSpec,
    FrameFeatures,
    LevelLogits,
    TextImageFeatures,
)


def clips_of_discs(count: int, seed: int, *, frames: int = 7, side: int = 48) -> torch.Tensor:
    """Discs that cross rough backgrounds, which move by themselves."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.arange(side) / side
    y, x = steps[:, None], steps[None, :]
    clips = torch.empty(count, frames, 3, side, side)
    for clip in clips:
        coarse, fine = (torch.rand(1, 3, n, n, generator=generator) for n in (5, 23))
        shown = [torch.nn.functional.interpolate(g, (side, side), mode="bilinear")[0] for g in (coarse, fine)]
        background = 0.6 * shown[0] + 0.4 * shown[1]
        colour, place = torch.rand(3, 1, 1, generator=generator), torch.rand(2, generator=generator)
        pace = (torch.rand(2, generator=generator) - 0.5) * 0.8
        drift = int(torch.randint(-3, 4, (), generator=generator))
        for index in range(frames):
            at = 0.2 + 0.6 * place + pace * index / (frames - 1)
            disc = (x - at[0]) ** 2 + (y - at[1]) ** 2 < 0.03
            clip[index] = torch.where(disc, colour, background.roll(drift * index, -1))
    return (255 * clips).round().byte()


def blurred(clips: torch.Tensor, radius: int) -> torch.Tensor:
    x = clips.flatten(0, 1).float()
    x = torch.nn.functional.pad(x, [radius] * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(x, 2 * radius + 1, stride=1).round().byte().reshape(clips.shape)


def noisy(clips: torch.Tensor, strength: int) -> torch.Tensor:
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(7))
    return (clips.float() + strength * noise).clamp(0, 255).round().byte()


def frozen(clips: torch.Tensor, frames: int) -> torch.Tensor:
    """The last frames show what the one before them shows."""
    clips = clips.clone()
    clips[:, -frames:] = clips[:, -frames - 1, None]
    return clips


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    return clips_of_discs(37, 0)


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    return clips_of_discs(41, 1)


def test_all_fit_where_they_are_to_be_plugged_in() -> None:
    assert isinstance(SeededClipFeatures(), ClipFeatures)
    assert isinstance(SeededFrameFeatures(), FrameFeatures)
    assert isinstance(SeededTextImage(), TextImageFeatures)
    assert isinstance(SeededLevelLogits(), LevelLogits)


@pytest.mark.parametrize(
    "kind", [SeededClipFeatures, SeededFrameFeatures, SeededTextImage, SeededLevelLogits]
)
def test_specs_say_that_nothing_was_learned_and_tell_seeds_apart(kind) -> None:
    spec = kind(3).spec
    assert isinstance(spec, ExtractorSpec)
    assert not spec.trained and spec.weights == "seed 3" and not spec.licence
    assert spec.key == kind(3).spec.key != kind(4).spec.key
    if kind is not SeededLevelLogits:
        assert spec.key != kind(3, width=11).spec.key


@pytest.mark.parametrize(
    ("network", "golden"),
    [(SeededClipFeatures(0), "63ff8e703fc7c7c8"), (SeededFrameFeatures(0), "1005e96a97a1e2f3")],
)
def test_weights_are_the_same_on_every_platform(network, golden: str) -> None:
    digest = hashlib.sha256()
    for tensor in (t for layer in [*network._layers, network._mixing] for t in layer):
        assert tensor.dtype == torch.float32
        digest.update(tensor.contiguous().numpy().astype("<f4").tobytes())
    assert digest.hexdigest()[:16] == golden


def test_features_of_a_known_clip_are_what_they_were() -> None:
    frames = (torch.arange(2 * 3 * 3 * 33 * 37) * 7919 % 251).to(torch.uint8).reshape(2, 3, 3, 33, 37)
    clip = SeededClipFeatures(0)(frames)[1, :3].tolist()
    assert clip == pytest.approx([0.37202, -0.2566, 0.46791], abs=1e-4)  # kernels add in different orders
    frame = SeededFrameFeatures(0)(frames[0])[2, :3].tolist()
    assert frame == pytest.approx([0.51605, 0.21209, -0.58854], abs=1e-4)
    text = SeededTextImage(0).text(["A red  cab", "a red cab", "", "cab"])
    assert text[0, :3].tolist() == pytest.approx([0.6951029, -0.271466, -1.5814611], abs=1e-6)
    assert torch.equal(text[0], text[1]) and not torch.equal(text[2], text[3])
    logits = SeededLevelLogits(0)(frames[0]).tolist()
    assert logits == pytest.approx([0.47644, 0.28213, -0.62103, -0.52111, -0.29779], abs=1e-4)


def test_features_do_not_depend_on_what_else_is_in_the_batch(clean) -> None:
    network = SeededClipFeatures(0)
    together, alone = network(clean[:5]), torch.cat([network(clip[None]) for clip in clean[:5]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    frames = SeededFrameFeatures(0)
    together, alone = frames(clean[0]), torch.cat([frames(frame[None]) for frame in clean[0]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (37, 53), (64, 64), (131, 97)])
def test_every_size_is_taken(size) -> None:
    frames = torch.randint(0, 256, (2, 3, 3, *size), generator=torch.Generator().manual_seed(0)).byte()
    clips = SeededClipFeatures(0, width=17)(frames)
    assert clips.shape == (2, 17) and clips.dtype == torch.float32 and torch.isfinite(clips).all()
    assert SeededFrameFeatures(0, width=13)(frames[0]).shape == (3, 13)
    assert SeededTextImage(0, width=11)(frames[0]).shape == (3, 11)
    assert SeededLevelLogits(0)(frames[0]).shape == (5,)


def test_no_clips_have_no_features() -> None:
    assert SeededClipFeatures(width=7)(torch.zeros(0, 3, 3, 32, 32, dtype=torch.uint8)).shape == (0, 7)
    assert SeededFrameFeatures(width=7)(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 7)
    assert SeededTextImage(width=7).text([]).shape == (0, 7)


def test_the_order_of_frames_counts(clean) -> None:
    network = SeededClipFeatures(0)
    features = network(clean)
    size = float(features.std(0).norm())
    shuffled = network(clean[:, [3, 0, 5, 1, 6, 2, 4]])
    backwards = network(clean.flip(1))
    assert float((shuffled - features).norm(dim=-1).mean()) > 0.5 * size
    assert float((backwards - features).norm(dim=-1).mean()) > 0.1 * size


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("damage", "strengths"), [(blurred, (1, 2, 4)), (noisy, (12, 24, 48)), (frozen, (2, 4, 6))]
)
def test_worse_clips_are_further_away(
    clean, real, distance, damage: Callable[[torch.Tensor, int], torch.Tensor], strengths
) -> None:
    network = SeededClipFeatures(0)
    true = network(real)
    found = [distance(network(clips), true) for clips in (clean, *(damage(clean, s) for s in strengths))]
    assert found == sorted(found)
    assert found[-1] > 5 * abs(found[0])


def test_frames_that_differ_are_less_alike(clean) -> None:
    frames = SeededFrameFeatures(0)
    moving, standing = frames(clean[0]), frames(clean[0, :1].expand(5, -1, -1, -1))
    scenes = frames(clean[:5, 0])
    assert temporal_consistency(standing) == pytest.approx(1)
    assert temporal_consistency(scenes) < temporal_consistency(moving) < 0.999


def test_even_frames_of_one_grey_have_features() -> None:
    grey = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    assert (SeededFrameFeatures(0)(grey).norm(dim=-1) > 0.01).all()


def test_scores_without_meaning_can_be_computed(clean) -> None:
    vectors = SeededTextImage(0)
    assert abs(clip_score(vectors(clean[0]), vectors.text(["a disc"])[0])) <= 100
    assert 1 <= float(level_score(SeededLevelLogits(0)(clean[0]), scale="one_to_five")) <= 5


def test_bad_input_is_named() -> None:
    for kind in (SeededClipFeatures, SeededFrameFeatures, SeededTextImage, SeededLevelLogits):
        with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
            kind(-1)
    for kind in (SeededClipFeatures, SeededFrameFeatures, SeededTextImage):
        with pytest.raises(ValueError, match="width must be at least 1, got 0"):
            kind(0, 0)
    with pytest.raises(ValueError, match="frames must be at least 2 per clip, got 1"):
        SeededClipFeatures()(torch.zeros(2, 1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="frames must be at least 1, got none"):
        SeededLevelLogits()(torch.zeros(0, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("kind", [SeededClipFeatures, SeededFrameFeatures, SeededLevelLogits])
def test_frames_of_another_form_are_named(kind) -> None:
    """Pitfall: values in [0, 1] taken for values up to 255."""
    call = getattr(kind.__call__, "__wrapped__", kind.__call__)
    shape = (2, 3, 3, 32, 32) if kind is SeededClipFeatures else (3, 3, 32, 32)
    with pytest.raises(TypeError, match="frames must be uint8, 0 to 255, got torch.float32"):
        call(kind(), torch.zeros(shape))
    with pytest.raises(ValueError, match="with three colours, got shape"):
        call(kind(), torch.zeros(*shape[:-3], 4, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="with three colours, got shape"):
        call(kind(), torch.zeros(*shape[:-1], 0, dtype=torch.uint8))
