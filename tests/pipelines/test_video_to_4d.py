"""The second half of the pipeline by itself: from latents, or from a video, whose cameras are known."""

from typing import Any

import pytest
import torch
from pipelines.fake_parts import FRAMES, HEIGHT, WIDTH, FakeBackbone, FrameReader, fake_pipeline
from pipelines.test_image_to_4d import IMAGE, generator, tiny_pipeline
from torch import Tensor, nn

from diff4splat.cameras import Cameras, trajectory
from diff4splat.pipelines import DecodedReconstructor, Diff4SplatPipeline, prepare_image, video_to_4d


def somewhere(path: Cameras) -> Cameras:
    """The same path in a world whose origin is elsewhere."""
    turn = torch.tensor([[0.0, -1, 0, 3], [1, 0, 0, -2], [0, 0, 1, 5], [0, 0, 0, 1]])
    return Cameras(turn @ path.camera_to_world, path.intrinsics, height=path.height, width=path.width)


def tensors(field: Any) -> dict[str, Tensor]:
    canonical = {name: getattr(field.canonical, name) for name in ("means", "scales", "opacities")}
    return {**canonical, "delta_means": field.delta_means, "times": field.times}


def frames_pipeline(**options: Any) -> Diff4SplatPipeline:
    backbone = FakeBackbone()
    made = DecodedReconstructor(backbone, FrameReader())
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "num_steps": 3, **options}
    return Diff4SplatPipeline(backbone, made, **settings)


def clip(num_frames: int, height: int = 71, width: int = 97) -> Tensor:
    """A video whose frames have one grey each, brighter and brighter."""
    return torch.linspace(0, 1, num_frames)[:, None, None, None].expand(num_frames, 3, height, width)


def test_it_is_the_second_half_of_a_call() -> None:
    pipe = tiny_pipeline()
    whole = pipe(IMAGE, "forward", generator=generator())
    prepared = prepare_image(IMAGE, height=32, width=32)
    path = trajectory.forward(5, height=32, width=32)
    latents = pipe.backbone.generate(
        prepared.image[None], path.batch(None), num_steps=2, guidance=pipe.guidance, generator=generator()
    )
    half = pipe.reconstruct(latents, path, image=prepared.detail)
    for name, value in tensors(half).items():
        torch.testing.assert_close(value, tensors(whole)[name], rtol=0, atol=0)
    assert half.metadata["model"] == whole.metadata["model"]
    assert half.metadata["num_gaussians"] == half.num_gaussians
    assert "prompt" not in half.metadata and whole.metadata["prompt"] == ""


def test_the_commanded_cameras_are_the_cameras_of_the_reconstruction() -> None:
    pipe = fake_pipeline()
    given = trajectory.orbit(FRAMES, height=HEIGHT, width=WIDTH)
    latents = torch.rand(1, 2, 3, HEIGHT // 8, WIDTH // 8)
    pipe.reconstruct(latents, somewhere(given), image=IMAGE)
    taken = pipe.ldrm.calls[0]["cameras"].batch(0)
    torch.testing.assert_close(taken.camera_to_world, given.camera_to_world, rtol=0, atol=2e-6)
    torch.testing.assert_close(taken.intrinsics, given.intrinsics)


@pytest.mark.parametrize("reads_frames", [False, True])
def test_frames_of_a_video_keep_their_own_cameras(reads_frames: bool) -> None:
    pipe = frames_pipeline() if reads_frames else fake_pipeline()
    given = trajectory.orbit(23, height=71, width=97)
    pipe.reconstruct_video(clip(23), somewhere(given))
    call = (pipe.ldrm.reconstructor if reads_frames else pipe.ldrm).calls[0]
    video = call["video"] if reads_frames else pipe.backbone.calls[0]["video"]
    kept = [0, 6, 11, 17, 22]
    torch.testing.assert_close(video[0, :, 0, 0, 0], torch.tensor(kept) / 22)
    assert video.shape == (1, FRAMES, 3, HEIGHT, WIDTH)
    taken = call["cameras"].batch(0)
    torch.testing.assert_close(
        taken.camera_to_world, given.camera_to_world[kept], rtol=0, atol=2e-6, msg="none is estimated"
    )
    focal, scale = given.intrinsics[0, 0, 0], HEIGHT / 71
    torch.testing.assert_close(taken.intrinsics[:, 0, 0], (scale * focal).expand(FRAMES))
    centre = torch.tensor([WIDTH / 2, HEIGHT / 2]).expand(FRAMES, 2)
    torch.testing.assert_close(taken.intrinsics[:, :2, 2], centre, msg="the crop is around the centre")
    assert call["max_gaussians"] == pipe.num_gaussians
    if reads_frames:
        assert not pipe.backbone.calls, "nothing is encoded, only to be decoded again"


def test_cameras_of_another_number_are_spread_over_the_video() -> None:
    pipe = fake_pipeline()
    pipe.reconstruct_video(clip(9, 24, 24), trajectory.forward(3, height=24, width=24, amplitude=2.0))
    taken = pipe.ldrm.calls[0]["cameras"].camera_to_world[0, :, 2, 3]
    torch.testing.assert_close(taken, torch.linspace(0, 2, FRAMES))


def test_a_short_video_gives_a_short_clip() -> None:
    pipe = fake_pipeline(num_frames=13)
    path = trajectory.forward(11, height=24, width=24)
    pipe.reconstruct_video(clip(11, 24, 24), path)
    assert pipe.ldrm.calls[0]["cameras"].num_frames == 9
    pipe.reconstruct_video(clip(11, 24, 24), path, num_frames=5)
    assert pipe.ldrm.calls[1]["cameras"].num_frames == 5
    for options, message in (
        ({"video": clip(4)}, "video must have at least 5 frames for this model, got 4"),
        ({"num_frames": 7}, "num_frames must be 4k.1"),
        ({"num_gaussians": 0}, "num_gaussians must be at least 1, got 0"),
        ({"video": clip(11) * 2}, r"video must lie in \[0, 1\], got 0 to 2"),
        ({"cameras": path.batch(None)}, "cameras must be one path without batch axes"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe.reconstruct_video(**{"video": clip(11), "cameras": path, **options})


@pytest.mark.usefixtures("without_shape_checker")
def test_what_is_no_video_is_refused() -> None:
    for video, error, message in (
        (torch.zeros(9, 3, 24, 24, dtype=torch.uint8), TypeError, "floating-point tensor, got torch.uint8"),
        ([IMAGE], TypeError, "floating-point tensor, got list"),
        (torch.zeros(1, 9, 3, 24, 24), ValueError, r"shape \[frame, 3, height, width\], got \[1, 9, 3,"),
        (torch.full((9, 3, 24, 24), float("nan")), ValueError, r"video must lie in \[0, 1\], got nan"),
    ):
        with pytest.raises(error, match=message):
            fake_pipeline().reconstruct_video(video, "static")


def test_the_first_frame_gives_the_detail() -> None:
    pipe = fake_pipeline(num_gaussians=None)
    video = torch.rand(FRAMES, 3, 71, 71, generator=generator(3))
    pipe.reconstruct_video(video, "static")
    torch.testing.assert_close(pipe.ldrm.calls[0]["image"][0], video[0])
    pipe.reconstruct_video(video, "static", detail_size=37)
    assert pipe.ldrm.calls[1]["image"].shape == (1, 3, 37, 37)
    latents = torch.rand(1, 2, 3, 3, 3, generator=generator(4))
    pipe.reconstruct(latents, trajectory.static(FRAMES, height=HEIGHT, width=WIDTH))
    decoded = latents[0, 0].repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)
    torch.testing.assert_close(pipe.ldrm.calls[2]["image"][0], decoded, msg="decoded where none is given")


def test_a_camera_controlled_video_model_in_front_of_a_reader_of_frames() -> None:
    pipe = frames_pipeline()
    field = pipe(IMAGE, "forward", generator=generator(), num_gaussians=101)
    assert field.num_gaussians <= 101 and field.metadata["reconstructor"] == "fake"
    (asked,), (read,) = pipe.backbone.calls, pipe.ldrm.reconstructor.calls
    torch.testing.assert_close(
        read["cameras"].camera_to_world, asked["cameras"].camera_to_world, rtol=0, atol=0
    )
    assert read["video"].shape == (1, FRAMES, 3, HEIGHT, WIDTH)


class Elsewhere(nn.Module):
    """A backbone that keeps its weights in a place of its own, as one with offload does."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeBackbone()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))
        self.spec, self.encode, self.decode = self.fake.spec, self.fake.encode, self.fake.decode

    def to(self, *args: Any, **kwargs: Any) -> "Elsewhere":
        return self

    def generate(self, image: Tensor, cameras: Cameras, *args: Any, **kwargs: Any) -> Tensor:
        assert image.device.type == cameras.device.type == "cpu" and image.dtype == torch.float32
        return torch.zeros(1, *self.spec.latent_shape(cameras.num_frames, *image.shape[-2:]))


@pytest.mark.usefixtures("without_shape_checker")
def test_scenes_are_made_where_the_reconstructor_is() -> None:
    backbone, reader = Elsewhere(), FrameReader()
    pipe = Diff4SplatPipeline(
        backbone, DecodedReconstructor(backbone, reader), num_frames=FRAMES, height=HEIGHT, width=WIDTH
    )
    assert pipe.to("cpu", dtype=torch.float64) is pipe
    assert backbone.weight.device.type == "meta" and reader.offset.dtype == torch.float64
    assert pipe.device == torch.device("cpu") and pipe.dtype == torch.float64
    pipe(IMAGE)
    assert reader.calls[0]["video"].device == reader.calls[0]["cameras"].device == torch.device("cpu")


def test_a_budget_that_cannot_be_kept_is_refused_before_anything_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(device: torch.device) -> None:
        raise RuntimeError(f"render needs gsplat on {device}")

    monkeypatch.setattr(video_to_4d, "require_backend", refuse)
    pipe = fake_pipeline()
    with pytest.raises(RuntimeError, match="render needs gsplat on cpu"):
        pipe.reconstruct_video(clip(9), "static")
    assert pipe.backbone.calls == []
