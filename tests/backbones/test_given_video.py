"""The backbone that is told its video."""

from pathlib import Path

import pytest
import torch
from pipelines.fake_parts import FakeBackbone, FakeReconstructor
from pipelines.test_image_to_4d import tiny_pipeline

from diff4splat.backbones import GivenVideoBackbone, VideoBackbone, get_backbone
from diff4splat.cameras import trajectory
from diff4splat.pipelines import Diff4SplatPipeline


def video(num_frames: int = 5) -> torch.Tensor:
    return torch.rand(num_frames, 3, 24, 24, generator=torch.Generator().manual_seed(2))


def test_it_answers_with_the_latents_of_its_video_whatever_is_asked() -> None:
    backbone = GivenVideoBackbone(FakeBackbone(), video())
    assert isinstance(backbone, VideoBackbone)
    expected = torch.nn.functional.avg_pool2d(video()[::4], 8)
    path = trajectory.forward(5, height=24, width=24)
    cameras = path.batch(None)
    for image, prompt, seed in ((torch.zeros(1, 3, 24, 24), None, 0), (torch.ones(1, 3, 24, 24), ["x"], 1)):
        latents = backbone.generate(
            image, cameras, prompt, num_steps=9, generator=torch.Generator().manual_seed(seed)
        )
        torch.testing.assert_close(latents[0], expected)


def test_a_pipeline_reconstructs_it() -> None:
    backbone = GivenVideoBackbone(FakeBackbone(), video())
    pipe = Diff4SplatPipeline(backbone, FakeReconstructor(), num_frames=5, height=24, width=24)
    pipe(torch.rand(3, 40, 40), "forward")
    torch.testing.assert_close(
        pipe.ldrm.calls[0]["latents"], torch.nn.functional.avg_pool2d(video()[::4], 8)[None]
    )


def test_a_video_that_does_not_fit_is_refused() -> None:
    backbone = GivenVideoBackbone(FakeBackbone())
    image, cameras = torch.zeros(1, 3, 24, 24), trajectory.forward(5, height=24, width=24).batch(None)
    with pytest.raises(ValueError, match="video must be set before generate is called, got none"):
        backbone.generate(image, cameras)
    backbone.video = video(9)
    with pytest.raises(ValueError, match=r"video must have shape \[5, 3, 24, 24\], got \[9, 3, 24, 24\]"):
        backbone.generate(image, cameras)


def test_by_name_with_the_encoder_of_another_backbone(tmp_path: Path) -> None:
    whole = tiny_pipeline().backbone
    whole.save_pretrained(tmp_path)
    loaded = get_backbone("video", name_or_path=tmp_path, encoder="compact")
    clip = torch.rand(1, 5, 3, 16, 16)
    torch.testing.assert_close(loaded.encode(clip), whole.encode(clip), rtol=0, atol=0)
    latents = whole.encode(clip)
    torch.testing.assert_close(loaded.decode(latents), whole.decode(latents), rtol=0, atol=0)
    assert loaded.spec == whole.spec
    loaded.to(dtype=torch.float64)
    assert next(loaded.parameters()).dtype == torch.float64
    with pytest.raises(ValueError, match="unknown backbone 'nothing'"):
        get_backbone("video", name_or_path=tmp_path, encoder="nothing")
