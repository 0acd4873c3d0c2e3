"""What the page shows, and what the renderer says it should."""

import json

import numpy as np
from viewer.browser import Page

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import render


def show(page: Page, cameras: Cameras, frame: int, time: float) -> np.ndarray:
    """The page's picture at a camera and a time."""
    lens = cameras.intrinsics[frame]
    numbers = [cameras.camera_to_world[frame].tolist(), *lens[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()]
    page.evaluate(f"diff4splat.setTime({time})")
    page.evaluate(f"diff4splat.setCamera({json.dumps(numbers)[1:-1]}, {cameras.width}, {cameras.height})")
    return page.canvas()


def rendered(gaussians: Gaussians, cameras: Cameras, frame: int) -> np.ndarray:
    """The renderer's picture, height x width x rgb."""
    color = render(gaussians, cameras.select(frame), backend="cpu").color[0]
    return color.clamp(0, 1).permute(1, 2, 0).double().numpy()


def psnr(picture: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((picture - other) ** 2) + 1e-12))
