"""Pictures of README.md and the documentation: `python docs/make_pictures.py out/a out/b`.

The folders are what `diff4splat generate` wrote, one row per scene: the first frame, the middle and the end
of the commanded path, a view beside it, depth. Without folders, only the picture of a camera path is made.
`--edit out/coffee` makes that of docs/editing.md, from the scene of examples/photos/coffee.jpg.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from diff4splat.assets import load_field, load_field_cameras, load_video
from diff4splat.cameras import trajectory
from diff4splat.editing import gaussians_in_mask, merge_fields, similarity_matrix
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


def draw_edit(folder: Path) -> None:
    """Write docs/images/edit.jpg: a scene, the cup of it by a mask, and a second cup put into it."""
    field = load_field(folder / "scene.safetensors")
    cameras = load_field_cameras(folder / "scene.safetensors").resize(SIDE, SIDE)
    outline = Image.new("L", (SIDE, SIDE))
    for ellipse in ((49, 13, 195, 131), (57, 70, 188, 172)):  # rim and foot, in the first frame
        ImageDraw.Draw(outline).ellipse(ellipse, fill=255)
    white = torch.from_numpy(np.array(outline) > 127)[None]
    first, start = cameras.select([0]), torch.zeros(1)
    seen = field.render(first, start).depth[:, 0]
    cup = field.select(gaussians_in_mask(field, white, first, start, far=seen + 0.3))
    shrunk = similarity_matrix(scale=0.5, center=cup.canonical.means.median(dim=0).values)
    aside = similarity_matrix(angle_deg=16, scale=0.7) @ similarity_matrix(axis=(1, 0, 0), angle_deg=-12)
    two = merge_fields([field, cup.transform(aside @ shrunk)])
    later, time = cameras.select([6]), torch.tensor([0.25])
    pictures = [
        one.render(path, moment).color[0]
        for one, path, moment in (
            (field, first, start),
            (cup, first, start),
            (two, first, start),
            (two, later, time),
        )
    ]
    save_jpeg(torch.cat(pictures, dim=-1).clamp(0, 1), IMAGES / "edit.jpg")


def save_jpeg(picture: torch.Tensor, path: Path) -> None:
    """A picture `[3, height, width]` in [0, 1]."""
    Image.fromarray((picture * 255).byte().permute(1, 2, 0).numpy()).save(path, quality=88)


def main() -> None:
    """Write docs/images/path.png, docs/images/scenes.jpg and docs/images/edit.jpg."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="what `diff4splat generate --output` named")
    parser.add_argument("--edit", type=Path, help="the same of examples/photos/coffee.jpg")
    options = parser.parse_args()
    folders = options.folders
    IMAGES.mkdir(exist_ok=True)
    draw_keys()
    if options.edit:
        draw_edit(options.edit)
    if not folders:
        return
    sheet = torch.cat([row(folder) for folder in folders], dim=-2)
    save_jpeg(sheet, IMAGES / "scenes.jpg")


if __name__ == "__main__":
    main()
