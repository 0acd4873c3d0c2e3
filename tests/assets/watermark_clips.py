"""Clips to mark: procedural scenes seen by moving cameras, and a codec that does not ask for a file."""

import io

import av
import numpy as np
import torch

from diff4splat.data import HELD_OUT_SEEDS, sample_cameras, sample_scenes


def scene_clips(count: int, *, size: int = 256, num_frames: int = 3) -> list[torch.Tensor]:
    """Clips of held-out scenes, in [0, 1]."""
    clips = []
    for seed in HELD_OUT_SEEDS[:count]:
        cameras = sample_cameras([seed], num_frames, height=size, width=size)
        times = torch.linspace(0, 1, num_frames)
        clips.append(sample_scenes([seed]).render(cameras, times).color[0].clamp(0, 1))
    return clips


def to_8_bits(video: torch.Tensor) -> torch.Tensor:
    return (255 * video).round() / 255


def through_x264(video: torch.Tensor, crf: int) -> torch.Tensor:
    """What a player shows of a clip of even size that was written at a quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = *video.shape[-2:], "yuv420p"
        for frame in (255 * video.clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.numpy()), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
