"""Pictures of README.md and the documentation: `python docs/make_pictures.py out/a out/b`.

The folders are what `diff4splat generate` wrote, one row per scene: the first frame, the middle and the end
of the commanded path, a view beside it, depth. Without folders, only the picture of a camera path is made.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from diff4splat.assets import load_video
from diff4splat.cameras import trajectory
from diff4splat.viewer import draw_path

SIDE = 256
IMAGES = Path(__file__).parent / "images"


def row(folder: Path) -> torch.Tensor:
    """Five pictures side by side, `[3, side, 5 * side]`."""
    video, novel, depth = (load_video(folder / f"{name}.mp4") for name in ("video", "novel_view", "depth"))
    middle = len(video) // 2
    pictures = torch.stack([video[0], video[middle], video[-1], novel[len(novel) // 4], depth[middle]])
    pictures = torch.nn.functional.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return torch.cat(list(pictures.clamp(0, 1)), dim=-1)


def draw_keys() -> None:
    """Write docs/images/path.png, the path of docs/trajectories.md."""
    eyes = torch.tensor([[0.0, 0.0, 0.0], [0.9, -0.2, 0.3], [1.4, -0.6, 1.5], [0.4, -0.9, 2.2]])
    keys = trajectory.look_at(eyes, torch.tensor([0.0, 0.0, 4.0]))
    draw_path(trajectory.keyframes(keys, 49, height=288, width=512), IMAGES / "path.png")


def main() -> None:
    """Write docs/images/path.png and docs/images/scenes.jpg."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="what `diff4splat generate --output` named")
    folders = parser.parse_args().folders
    IMAGES.mkdir(exist_ok=True)
    draw_keys()
    if not folders:
        return
    sheet = torch.cat([row(folder) for folder in folders], dim=-2)
    Image.fromarray((sheet * 255).byte().permute(1, 2, 0).numpy()).save(IMAGES / "scenes.jpg", quality=88)


if __name__ == "__main__":
    main()
