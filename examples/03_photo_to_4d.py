"""The whole pipeline: a photograph to a 4D scene, then one moment of it along another path."""

from pathlib import Path

import torch
import tyro

from diff4splat import Diff4SplatPipeline, render
from diff4splat.assets import save_video
from diff4splat.cameras import trajectory


def main(
    image: Path = Path(__file__).parent / "photos" / "coffee.jpg",
    output: Path = Path("out"),
    model: str = "compact",
    size: int = 128,
    num_frames: int = 16,
) -> None:
    """Write scene.safetensors and frozen.mp4.

    Args:
        image: Photograph.
        output: Folder for the files.
        model: "compact", a folder, or the name of a model on the Hub.
        size: Height and width of the rendered video, pixels.
        num_frames: Frames of the rendered video.
    """
    pipe = Diff4SplatPipeline.from_pretrained(model)
    field = pipe(image, "spiral", generator=torch.Generator().manual_seed(0))
    output.mkdir(parents=True, exist_ok=True)
    field.save(output / "scene.safetensors")
    cameras = trajectory.forward(num_frames, height=size, width=size)
    frozen = render(field.at(0.5), cameras)
    save_video(frozen.color, output / "frozen.mp4")


if __name__ == "__main__":
    tyro.cli(main)
