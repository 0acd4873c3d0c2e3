"""A live loop: drag a moving scene about in the browser while the CPU renders every picture.

`pip install viser`, run this, and open the address that it prints; Ctrl-C ends it. With `--frames 100` it
needs neither viser nor a browser: it orbits alone. Either way it prints the frames per second.
"""

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import tyro

from diff4splat import Cameras, DeformableGaussianField, Gaussians
from diff4splat.cameras import field_of_view_to_intrinsics, trajectory
from diff4splat.gaussians import rgb_to_harmonics
from diff4splat.geometry import quaternion_to_matrix
from diff4splat.pipelines import focus_depth


def waving_ring(count: int) -> DeformableGaussianField:
    """A ring around (0, 0, 4), over which waves run once per clip."""
    around = torch.arange(count) * (2 * math.pi / count)
    across = torch.arange(count) * (math.pi * (3 - math.sqrt(5)))  # steps of the golden angle leave no gaps
    outward = torch.stack([around.cos(), around.sin(), torch.zeros(count)], dim=-1)
    normal = across.cos()[:, None] * outward + across.sin()[:, None] * torch.tensor([0.0, 0.0, 1.0])
    rgb = 0.5 + 0.4 * torch.sin(torch.stack([3 * around, 2 * across + 2, 3 * around + 4], dim=-1))
    turns = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4)
    scales, opacities = torch.full((count, 3), 4 / math.sqrt(count)), torch.full((count,), 0.9)
    means = 1.2 * outward + 0.5 * normal + torch.tensor([0.0, 0.0, 4.0])
    ring = Gaussians(means, turns, scales, opacities, rgb_to_harmonics(rgb)[:, None])
    times = torch.linspace(0, 1, 17)
    waves = 0.15 * torch.sin(5 * around + 2 * math.pi * times[:, None])[..., None] * normal
    return DeformableGaussianField(ring, times, waves, turns.expand(17, -1, 4), torch.zeros_like(waves))


def client_camera(view: Any, height: int) -> Cameras:
    """The camera of a page: viser's axes are OpenCV's as here, its field of view is the vertical one."""
    width = max(1, round(height * view.aspect))
    pose = torch.eye(4)
    pose[:3, :3] = quaternion_to_matrix(torch.as_tensor(view.wxyz, dtype=torch.float32))
    pose[:3, 3] = torch.as_tensor(view.position)
    across_deg = math.degrees(2 * math.atan(math.tan(view.fov / 2) * width / height))
    lens = field_of_view_to_intrinsics(across_deg, height=height, width=width)
    return Cameras(pose[None], lens[None], height, width)


def show(field: DeformableGaussianField, size: int) -> None:
    """Draw what changed, smaller while it changes so that it stays fluid, until Ctrl-C."""
    import viser

    server = viser.ViserServer("127.0.0.1")
    server.scene.set_up_direction("-y")
    server.initial_camera.position, server.initial_camera.look_at = (0, 0, 0), (0, 0, focus_depth(field))
    play = server.gui.add_checkbox("play", True)
    moment = server.gui.add_slider("time", 0.0, 1.0, 0.01, 0.0)
    rate = server.gui.add_text("frames per second", "", disabled=True)
    drawn, height, count, since = {}, size, 0, time.perf_counter()
    while True:
        if play.value:
            moment.value = time.perf_counter() / 4 % 1  # a clip takes four seconds
        for key, client in server.get_clients().items():
            view, start = client.camera, time.perf_counter()
            moving = play.value or time.time() - view.update_timestamp < 0.3
            rows = height if moving else size
            state = (*view.wxyz, *view.position, view.fov, view.aspect, moment.value, rows)
            if state == drawn.get(key):
                continue
            seen = field.render(client_camera(view, rows), torch.tensor([moment.value])).color[0]
            picture = (seen.clamp(0, 1) * 255).byte().movedim(0, -1).numpy()
            client.scene.set_background_image(picture, jpeg_quality=90)
            client.flush()
            drawn[key], count = state, count + 1
            if moving:  # the time of a picture grows with its area; a thirtieth of a second is wanted
                factor = math.sqrt(1 / 30 / (time.perf_counter() - start))
                height = round(min(size, max(size / 3, height * min(1.2, factor))))
        if time.perf_counter() - since > 2:
            if count:
                rate.value = f"{count / (time.perf_counter() - since):.1f}"
                print(f"{rate.value} frames per second, {height} pixels high")
            count, since = 0, time.perf_counter()
        time.sleep(0.005)


@torch.inference_mode()
def main(
    scene: tyro.conf.Positional[Path | None] = None,
    frames: int = 0,
    size: int = 512,
    gaussians: int = 50_000,
) -> None:
    """Show a scene live, or time a number of frames.

    Args:
        scene: A scene.safetensors of `diff4splat generate`; a waving ring when omitted.
        frames: Orbit once in so many frames without a browser, print the frames per second, and end; 0 shows
            the page.
        size: Height of the pictures, pixels; fewer while things move, if 30 frames per second ask for it.
        gaussians: How many the ring has.
    """
    field = waving_ring(gaussians) if scene is None else DeformableGaussianField.load(scene)
    if not frames:
        with suppress(KeyboardInterrupt):
            show(field, size)
        return
    path = trajectory.orbit(frames + 1, height=size, width=size, focus_depth=focus_depth(field))
    times = torch.arange(frames + 1) / (frames + 1)
    for i in range(frames + 1):
        if i == 1:  # the first frame, which compiles or loads the kernels, does not count
            start = time.perf_counter()
        field.render(path.select(slice(i, i + 1)), times[i : i + 1])
    rate = frames / (time.perf_counter() - start)
    print(
        f"{frames} frames of {size}x{size}, {field.num_gaussians:,} Gaussians, deformation included: "
        f"{rate:.1f} frames per second"
    )


if __name__ == "__main__":
    tyro.cli(main)
