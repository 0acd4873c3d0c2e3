"""Pictures of README.md from what `diff4splat generate` wrote: `python docs/make_pictures.py out/a out/b`.

One row per scene: the first frame, the middle and the end of the commanded path, a view beside it, depth.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from diff4splat.assets import load_video

SIDE = 256


def row(folder: Path) -> torch.Tensor:
    """Five pictures side by side, `[3, side, 5 * side]`."""
    video, novel, depth = (load_video(folder / f"{name}.mp4") for name in ("video", "novel_view", "depth"))
    middle = len(video) // 2
    pictures = torch.stack([video[0], video[middle], video[-1], novel[len(novel) // 4], depth[middle]])
    pictures = torch.nn.functional.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return torch.cat(list(pictures.clamp(0, 1)), dim=-1)


def main() -> None:
    """Write docs/images/scenes.jpg."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="what `diff4splat generate --output` named")
    folders = parser.parse_args().folders
    sheet = torch.cat([row(folder) for folder in folders], dim=-2)
    target = Path(__file__).parent / "images" / "scenes.jpg"
    target.parent.mkdir(exist_ok=True)
    Image.fromarray((sheet * 255).byte().permute(1, 2, 0).numpy()).save(target, quality=88)


if __name__ == "__main__":
    main()
