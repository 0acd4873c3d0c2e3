import numpy as np
import pytest
import torch
from assets.watermark_clips import scene_clips, to_8_bits
from reference.assets_watermark import embed

from diff4splat.assets import PUBLIC_KEY, Watermark, embed_watermark, load_video, save_video, scene_payload
from diff4splat.gaussians import DeformableGaussianField, Gaussians


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.parametrize("brightest", [0.7, 0.999])
def test_frame_is_that_of_the_loop(brightest):
    noise = torch.rand(3, 13, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = brightest - torch.linspace(0, 0.8, 17) ** 3 * noise  # flat, then more and more contrast
    marked = embed_watermark(frame, Watermark(key="k", payload=5, strength=1.7))
    np.testing.assert_allclose(marked.numpy(), embed(frame.numpy(), "k", 5, 1.7), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [47, 256, 301])
def test_strongest_mark_stays_above_40_db(size):
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert 40.6 < psnr(to_8_bits(embed_watermark(noise)), to_8_bits(noise)) < 43


def test_real_clips_stay_above_40_db_and_flat_ones_far_above():
    for clip in scene_clips(3):
        assert psnr(to_8_bits(embed_watermark(clip)), to_8_bits(clip)) > 40.7
    flat = torch.full((1, 3, 256, 256), 0.5)
    marked = embed_watermark(flat)
    assert psnr(marked, flat) > 55 and (marked - flat).abs().max() < 1.5 / 255


def test_frames_are_marked_alike_and_one_by_one():
    clip = scene_clips(1)[0]
    marked = embed_watermark(clip)
    assert torch.equal(marked[1], embed_watermark(clip[1]))
    assert torch.equal(embed_watermark(clip[:1].expand(2, -1, -1, -1))[0], marked[0])
    grey = (marked - clip)[:, :, 40:200, 40:200]
    inside = (clip > 0.05).all(dim=1) & (clip < 0.95).all(dim=1)
    spread = grey.amax(dim=1) - grey.amin(dim=1)
    assert (spread[inside[:, 40:200, 40:200]] < 1e-6).all()  # luma alone


def test_range_type_and_input():
    video = torch.rand(2, 1, 3, 21, 34, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = video.clone().requires_grad_()
    marked = embed_watermark(before)
    assert marked.shape == video.shape and marked.dtype == torch.float64 and not marked.requires_grad
    assert torch.equal(before.detach(), video) and 0 <= marked.min() and marked.max() <= 1
    half = embed_watermark(video.half())
    assert half.dtype == torch.float16 and (half.double() - marked).abs().max() < 2e-3
    assert embed_watermark(video[:, :0]).shape == (2, 0, 3, 21, 34)


def test_errors_and_what_is_shown():
    with pytest.raises(ValueError, match="key must not be empty"):
        Watermark(key="")
    for payload in (-1, 2**32):
        with pytest.raises(ValueError, match="payload must be from 0"):
            Watermark(payload=payload)
    for strength in (0, 4.1, float("nan")):
        with pytest.raises(ValueError, match="strength"):
            Watermark(strength=strength)
    with pytest.raises(ValueError, match="pixels"):
        embed_watermark(torch.zeros(1, 3, 0, 5))
    assert "sesame" not in repr(Watermark(key="sesame")) and Watermark().key == PUBLIC_KEY


def test_save_video_marks_when_asked(tmp_path):
    clip = scene_clips(1)[0]
    save_video(clip, tmp_path / "plain.mp4")
    save_video(clip, tmp_path / "marked.mp4", watermark=Watermark())
    plain, marked = (load_video(tmp_path / f"{name}.mp4") for name in ("plain", "marked"))
    assert psnr(plain, clip) > psnr(marked, clip)
    assert psnr(marked, embed_watermark(clip)) > psnr(marked, clip)


def test_payload_of_a_scene_is_that_of_its_means(tmp_path):
    means = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    gaussians = Gaussians(
        means, torch.eye(4)[:1].expand(5, -1), torch.ones(5, 3), torch.full((5,), 0.5), torch.zeros(5, 1, 3)
    )
    deltas = {"delta_means": torch.zeros(2, 5, 3), "delta_scales": torch.zeros(2, 5, 3)}
    field = DeformableGaussianField(
        gaussians,
        delta_quaternions=torch.eye(4)[0].expand(2, 5, -1),
        times=torch.tensor([0.0, 1.0]),
        **deltas,
    )
    number = scene_payload(field)
    assert 0 <= number < 2**32
    field.save(tmp_path / "scene.safetensors")
    assert scene_payload(DeformableGaussianField.load(tmp_path / "scene.safetensors")) == number
    means[0, 0] += 1e-6
    assert scene_payload(field) != number
