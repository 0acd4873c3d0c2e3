"""Pictures of README.md and the documentation: `python docs/make_pictures.py out/a out/b --scene out/c`.

The folders are what `diff4splat generate` wrote, one row of docs/images/scenes.jpg per scene: the first
frame, the middle and the end of the commanded path, a view beside it, depth. The scene of --scene, such a
folder too, is drawn for docs/pictures.md. Without folders, only the picture of a camera path is made.
`--edit out/coffee` makes the picture of docs/editing.md, from the scene of examples/photos/coffee.jpg.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from diff4splat.assets import load_field, load_field_cameras, load_video
from diff4splat.cameras import Cameras, trajectory
from diff4splat.editing import gaussians_in_mask, merge_fields, similarity_matrix
from diff4splat.pictures import (
    contact_sheet,
    depth_picture,
    draw_path,
    field_sheet,
    flow_picture,
    motion_trails,
    overview,
    path_picture,
    save_picture,
    stack_pictures,
)
from diff4splat.pipelines import focus_depth, sway_cameras
from diff4splat.rendering import render

SIDE = 256
IMAGES = Path(__file__).parent / "images"


def row(folder: Path) -> list[torch.Tensor]:
    """Five pictures of a scene, `[3, side, side]` each."""
    video, novel, depth = (load_video(folder / f"{name}.mp4") for name in ("video", "novel_view", "depth"))
    middle = len(video) // 2
    pictures = torch.stack([video[0], video[middle], video[-1], novel[len(novel) // 4], depth[middle]])
    pictures = torch.nn.functional.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return list(pictures.clamp(0, 1))


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
    save_picture(torch.cat(pictures, dim=-1).clamp(0, 1), IMAGES / "edit.jpg", quality=88)


def draw_scene(folder: Path) -> None:
    """Write the pictures of docs/pictures.md, each by the function that stands beside it there."""
    field, path = load_field(folder / "scene.safetensors"), load_field_cameras(folder / "scene.safetensors")
    if not isinstance(path, Cameras):
        raise ValueError(f"{folder} must hold a scene with its cameras, such as `diff4splat generate` writes")
    beside = sway_cameras(path, focus_depth=focus_depth(field))
    frames = [0, (path.num_frames - 1) // 2, path.num_frames - 1]
    small, large = path.resize(200, 200), path.resize(320, 320)
    views = {"path": small.select(frames), "another view": beside.resize(200, 200).select(frames)}
    first = large.select([0])
    seen, title = render(field.at(0.0), first), str(field.metadata.get("prompt", ""))
    pictures = {
        "overview": overview(field, path, views={"another view": beside}, title=title, width=1200),
        "sheet": field_sheet(field, views, [i / (path.num_frames - 1) for i in frames], depth=True),
        "depth": depth_picture(seen.depth[0, 0], mask=seen.alpha[0, 0] > 0.5),
        "motion": stack_pictures(
            [motion_trails(field, first), flow_picture(field, first)], across=True, gap=12
        ),
        "camera_path": path_picture(path, height=280, width=420),
    }
    for name, picture in pictures.items():
        save_picture(picture, IMAGES / f"{name}.jpg", quality=86)


def main() -> None:
    """Write docs/images/path.png and what the folders are for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="what `diff4splat generate --output` named")
    parser.add_argument("--scene", type=Path, help="one such folder, for docs/pictures.md")
    parser.add_argument("--edit", type=Path, help="one of examples/photos/coffee.jpg, for docs/editing.md")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    draw_keys()
    if arguments.folders:
        sheet = contact_sheet([row(folder) for folder in arguments.folders], gap=0)
        save_picture(sheet, IMAGES / "scenes.jpg", quality=88)
    if arguments.scene:
        draw_scene(arguments.scene)
    if arguments.edit:
        draw_edit(arguments.edit)


if __name__ == "__main__":
    main()
