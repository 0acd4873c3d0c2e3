"""Clips of a pipeline for a protocol: the same scene as a call gives, rendered as commanded, and timed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.oracle import BlindBackbone, Flat
from PIL import Image

from diff4splat.cameras import Cameras, trajectory
from diff4splat.evaluation.protocol import EvaluationClip, PipelineMaker
from diff4splat.pipelines import Diff4SplatPipeline, render_path


@pytest.fixture(scope="module")
def pipe() -> Diff4SplatPipeline:
    return Diff4SplatPipeline(BlindBackbone(), Flat(), num_frames=5, height=32, width=32, num_steps=3)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "one.png"
    pixels = torch.randint(0, 256, (32, 32, 3), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(path)
    return path


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    return trajectory.forward(7, height=32, width=32)


def clip(**changes: object) -> EvaluationClip:
    options = {"name": "a/forward", "scene": "a", "trajectory": "forward", "prompt": "moves left", "seed": 3}
    return EvaluationClip(**{**options, "image": "one.png", "cameras": "forward.json", **changes})


def test_the_scene_is_that_of_a_call(pipe: Diff4SplatPipeline, image: Path, cameras: Cameras) -> None:
    made = PipelineMaker(pipe)(clip(), image, cameras)
    field = pipe(image, cameras, "moves left", generator=torch.Generator().manual_seed(3), detail_size=32)
    expected = render_path(field, cameras).color.clamp(0, 1)
    assert made.frames.shape == (7, 3, 32, 32) and made.frames.dtype == torch.uint8
    assert (made.frames / 255 - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert set(made.seconds) == {"video model", "reconstruction"} and min(made.seconds.values()) > 0


def test_time_stands_still_where_it_shall(image: Path, cameras: Cameras) -> None:
    class Sliding(Flat):
        def __call__(self, *given, **options):
            field = super().__call__(*given, **options)
            moved = field.delta_means.clone()
            moved[:, -1] += 0.5
            return replace(field, delta_means=moved)

    pipe = Diff4SplatPipeline(BlindBackbone(), Sliding(), num_frames=5, height=32, width=32, num_steps=3)
    maker = PipelineMaker(pipe)
    still = trajectory.static(7, height=32, width=32)
    running, frozen = (maker(clip(frozen=f), image, still) for f in (False, True))
    assert torch.equal(frozen.frames, frozen.frames[:1].expand_as(frozen.frames))
    assert not torch.equal(running.frames[0], running.frames[-1])
    assert frozen.field is running.field, "two clips of one scene are generated once"


def test_the_decoded_video_and_the_scene_made_of_it(
    pipe: Diff4SplatPipeline, image: Path, cameras: Cameras, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    encode = BlindBackbone.encode
    monkeypatch.setattr(
        BlindBackbone, "encode", lambda self, video: seen.append(video) or encode(self, video)
    )
    decoded = PipelineMaker(pipe, shown="decoded")(clip(), image, cameras)
    assert decoded.field is None and decoded.frames.shape == (5, 3, 32, 32)
    assert (decoded.frames == 128).all(), "what this backbone decodes is grey"
    again = PipelineMaker(pipe, shown="two-stage")(clip(), image, cameras)
    assert again.field is not None and again.frames.shape == (7, 3, 32, 32)
    assert list(again.seconds) == ["video model", "decoding", "reconstruction"]
    field = again.field.render(cameras.relative_to().select(slice(0, 1)), torch.zeros(1)).color[0]
    assert (again.frames[0] / 255 - field.clamp(0, 1)).abs().max() < 0.01
    photograph = torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1) / 255
    torch.testing.assert_close(seen[0][0, 0], photograph)  # it is given, so it is not read from the latents
    assert (seen[0][0, 1:] == 0.5).all()
    prepared = PipelineMaker(pipe)(clip(), image, cameras)
    assert torch.equal(again.frames, prepared.frames), "the wall takes its colours from the input image alone"


def test_what_cannot_be_made_is_refused_in_words(
    pipe: Diff4SplatPipeline, image: Path, cameras: Cameras
) -> None:
    with pytest.raises(ValueError, match="time cannot stand still in a decoded video"):
        PipelineMaker(pipe, shown="decoded")(clip(frozen=True), image, cameras)


@pytest.mark.usefixtures("without_shape_checker")
def test_what_is_shown_is_one_of_three(pipe: Diff4SplatPipeline) -> None:
    with pytest.raises(ValueError, match="shown must be one of scene, decoded, two-stage, got 'all'"):
        PipelineMaker(pipe, shown="all")
