"""A scene refined: the model's field of a clip, fitted to that clip for some steps."""

import torch
import tyro

from diff4splat import DeformableGaussianField, Diff4SplatPipeline
from diff4splat.data import HELD_OUT_SEEDS
from diff4splat.evaluation import HeldOutScenes, held_out_scenes, psnr
from diff4splat.training import refine


def quality(field: DeformableGaussianField, clip: HeldOutScenes) -> str:
    """PSNR of the clip's frames, and from cameras beside its path."""
    path = field.render(clip.cameras.batch(0), clip.times)
    novel = field.render(clip.novel_cameras.batch(0), clip.novel_times[0])
    on_path = psnr(path.color, clip.frames.color[0]).mean()
    beside = psnr(novel.color, clip.novel_frames.color[0]).mean()
    return f"{on_path:.1f} dB on the path, {beside:.1f} dB beside it"


def main(model: str = "compact", size: int = 128, steps: int = 30, scene: int = 4) -> None:
    """Print PSNR before and after.

    Args:
        model: "compact", a folder, or the name of a model on the Hub.
        size: Height and width of the clip, pixels.
        steps: Steps of the optimiser.
        scene: Number of the procedural scene.
    """
    clip = held_out_scenes([HELD_OUT_SEEDS[scene]], height=size, width=size)
    video, cameras = clip.frames.color[0], clip.cameras.batch(0)
    pipe = Diff4SplatPipeline.from_pretrained(model)
    with torch.no_grad():
        latents = pipe.backbone.encode(clip.frames.color)
        field = pipe.ldrm(latents, clip.cameras, image=clip.image, times=clip.times).batch(0)
    print(f"feed-forward: {quality(field, clip)}")
    generator = torch.Generator().manual_seed(0)
    refined = refine(field, video, cameras, times=clip.times, steps=steps, generator=generator)
    print(f"after {steps} steps: {quality(refined, clip)}")


if __name__ == "__main__":
    tyro.cli(main)
