"""Latent alignment: its errors and their slopes, that it learns, goes on and refuses."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones.tiny_vae_golden import weights as golden_weights
from reference import training_alignment
from reference.finite_differences import slope
from torch import Tensor

from diff4splat.backbones import TinyVideoVAE, get_backbone
from diff4splat.data import make_clips
from diff4splat.training import (
    ALIGNMENT_WEIGHTS,
    Draws,
    LatentAlignment,
    Watch,
    align_latents,
    alignment_errors,
)
from diff4splat.training.records import read_records

QUIET = Watch(save_every=3, log_every=1, progress=False)


class Clips:
    """Procedural clips of five frames, with the latents of the bundled model."""

    def __init__(self, *keys: str) -> None:
        clips, self.captions = make_clips(range(6), num_frames=5, height=16, width=32)
        with torch.no_grad():
            clips["latents"] = get_backbone("compact").encode(clips["video"].float() / 255)
        self.clips = {key: clips[key] for key in keys}

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int, /) -> tuple[dict[str, Tensor], str]:
        return {key: value[index] for key, value in self.clips.items()}, self.captions[index]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return Clips("video", "latents")


def student(width: int = 4) -> TinyVideoVAE:
    """One with the latents of the bundled model."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = TinyVideoVAE(latent_channels=8, width=width)
    tiny.check_fits(get_backbone("compact").spec)
    return tiny


def small_case() -> tuple[TinyVideoVAE, Tensor, Tensor]:
    tiny = TinyVideoVAE(latent_channels=3, width=2, temporal_stride=2).double()
    tiny.load_state_dict(golden_weights({name: value.shape for name, value in tiny.state_dict().items()}))
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(2, 3, 3, 8, 16, generator=generator, dtype=torch.float64)
    return tiny, video, torch.randn(2, 2, 3, 1, 2, generator=generator, dtype=torch.float64)


def run(clips: Clips, folder: Path, *, steps: int = 7, teacher_encode=None, **options) -> TinyVideoVAE:
    settings = {"batch": 3, "learning_rate": 1e-2, "cpu": True, "watch": QUIET, **options}
    tiny = settings.pop("tiny", None) or student()
    return align_latents(tiny, teacher_encode, clips, folder, steps=steps, **settings)


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for (name, value), expected in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name


# --- errors


def test_errors_match_the_loop_with_their_gradient() -> None:
    tiny, video, latents = small_case()
    leaves = [video.requires_grad_(), latents.requires_grad_(), *tiny.parameters()]
    names = [name for name, _ in tiny.named_parameters()]
    arrays = [value.detach().numpy() for value in leaves]

    def loop(videos: np.ndarray, values: np.ndarray, *weights: np.ndarray) -> dict[str, np.ndarray]:
        state = dict(zip(names, weights, strict=True))
        form = {"patch_size": 1, "temporal_stride": 2, "variant": "base"}
        return training_alignment.errors(videos, values, state, **form)

    errors = alignment_errors(tiny, video, latents)
    assert list(errors) == list(ALIGNMENT_WEIGHTS)
    for name, expected in loop(*arrays).items():
        np.testing.assert_allclose(errors[name].detach().numpy(), expected, atol=1e-12)

    factors = {name: np.array([1.3, 0.7]) * (i + 1) for i, name in enumerate(errors)}
    sum((value * torch.from_numpy(factors[name])).sum() for name, value in errors.items()).backward()
    draw = np.random.default_rng(0)
    directions = [draw.normal(size=array.shape) for array in arrays]
    got = sum(float(np.sum(value.grad.numpy() * d)) for value, d in zip(leaves, directions, strict=True))
    expected = slope(
        lambda *moved: sum(np.sum(value * factors[name]) for name, value in loop(*moved).items()),
        arrays,
        directions,
        step=1e-8,
    )
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "trained"),
    [("latent", {"encoder"}), ("decoding", {"decoder"}), ("reconstruction", {"encoder", "decoder"})],
)
def test_an_error_trains_the_halves_that_it_sees(name, trained) -> None:
    tiny, video, latents = small_case()
    objective = LatentAlignment(tiny, weights={name: 2.0})
    clips = {"video": (video.float() * 255).to(torch.uint8), "latents": latents.float()}
    values = objective.float()(clips, ["", ""], Draws(0, 0, range(2)))
    assert list(values.terms) == [name]
    assert values.loss.item() == pytest.approx(2 * values.terms[name].item(), rel=1e-6)
    values.loss.backward()
    assert {key.split(".")[1] for key, p in objective.named_parameters() if p.grad is not None} == trained
    assert {key.split(".")[1] for key, p in objective.named_parameters() if p.requires_grad} == trained


def test_a_teacher_is_asked_without_gradients_and_is_not_trained() -> None:
    tiny, video, latents = small_case()
    teacher = torch.nn.Linear(1, 1)

    def encode(given: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and given.shape == video.shape
        return teacher(torch.zeros(1)) + latents.float()

    objective = LatentAlignment(tiny.float(), encode)
    assert not any("weight" in name and p is teacher.weight for name, p in objective.named_parameters())
    clips = {"video": torch.zeros(video.shape, dtype=torch.uint8)}
    values = objective(clips, ["", ""], Draws(0, 0, range(2)))
    given = alignment_errors(tiny, torch.zeros(video.shape), encode_without_gradients(encode, video))
    assert values.loss.item() == pytest.approx(sum(error.mean().item() for error in given.values()), rel=1e-5)


def encode_without_gradients(encode, video: Tensor) -> Tensor:
    with torch.no_grad():
        return encode(video)


# --- training


def test_errors_fall_with_the_bundled_model_as_the_teacher(clips, tmp_path) -> None:
    tiny, teacher = student(width=8), get_backbone("compact")
    before = copy.deepcopy(tiny)
    watch = Watch(save_every=30, log_every=1, progress=False)
    options = {"tiny": tiny, "teacher_encode": teacher.encode, "batch": 6, "watch": watch}
    trained = run(clips, tmp_path, steps=60, **options)
    assert_equal(tiny, before)  # it stays as it is
    assert all(not p.grad_fn and p.grad is None for p in teacher.vae.parameters())
    video = clips.clips["video"].float() / 255
    with torch.no_grad():
        errors = [alignment_errors(model, video, clips.clips["latents"]) for model in (before, trained)]
    for name in ALIGNMENT_WEIGHTS:
        first, last = (error[name].mean() for error in errors)
        assert last < 0.7 * first, (name, first, last)
    assert (tmp_path / "tiny_vae" / "config.json").is_file()
    assert_equal(TinyVideoVAE.from_pretrained(tmp_path / "tiny_vae"), trained)
    assert [line["step"] for line in read_records(tmp_path / "log.jsonl")] == list(range(1, 61))


def test_a_run_that_was_stopped_ends_like_one_that_was_not(clips, tmp_path) -> None:
    expected = run(clips, tmp_path / "whole")
    calls = []

    def stopping(video: Tensor) -> Tensor:
        calls.append(len(video))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return teacher(video)

    teacher = get_backbone("compact").encode
    with pytest.raises(KeyboardInterrupt):
        run(Clips("video"), tmp_path / "parts", teacher_encode=stopping)
    resumed = run(clips, tmp_path / "parts", tiny=student().apply(_spoil))  # weights come from the folder
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], atol=1e-5, rtol=1e-4)
    assert len(calls) == 5, "the last checkpoint was at step 3, the rest came with the clips"


def _spoil(module: torch.nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data.zero_()


def test_seeds(clips, tmp_path) -> None:
    one, same, other = (run(clips, tmp_path / f"{i}", steps=2, seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert_equal(one, same)
    assert not torch.equal(one.encoder[17].weight, other.encoder[17].weight)


def test_the_half_without_an_error_stays(clips, tmp_path) -> None:
    tiny = student()
    trained = run(clips, tmp_path, steps=2, tiny=tiny, weights={"decoding": 1.0})
    assert_equal(trained.encoder, tiny.encoder)
    assert not torch.equal(trained.decoder[22].weight, tiny.decoder[22].weight)


# --- refusals


def test_another_run_in_the_folder_is_refused(clips, tmp_path) -> None:
    run(clips, tmp_path, steps=1)
    assert json.loads((tmp_path / "alignment.json").read_text())["steps"] == 1
    with pytest.raises(ValueError, match="holds a run with steps=1, this one has 2: choose another folder"):
        run(clips, tmp_path, steps=2)


def test_what_does_not_fit_is_refused(clips, tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"latents must have the shape \[3, 2, 5, 2, 4\] .*, got \[3, 2, 8, 2, 4\]"
    ):
        run(clips, tmp_path / "a", tiny=TinyVideoVAE(latent_channels=5, width=2))
    with pytest.raises(ValueError, match="num_frames must be 8k.1"):
        run(clips, tmp_path / "b", tiny=TinyVideoVAE(latent_channels=8, width=2, temporal_stride=8))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run(clips, tmp_path / "c", steps=0)
    with pytest.raises(ValueError, match="errors must be of latent, reconstruction, decoding, got pixel"):
        run(clips, tmp_path / "d", weights={"pixel": 1.0})
    with pytest.raises(ValueError, match=r"weights\['latent'\] must be > 0, got 0"):
        run(clips, tmp_path / "e", weights={"latent": 0.0})
    with pytest.raises(ValueError, match="latents missing"):
        run(Clips("video"), tmp_path / "f")
    objective = LatentAlignment(student())
    with pytest.raises(ValueError, match="clips must hold latents when there is no teacher_encode"):
        objective({"video": clips.clips["video"]}, [""] * 6, Draws(0, 0, range(6)))
