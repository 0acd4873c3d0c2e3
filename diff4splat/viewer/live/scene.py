"""A field made ready to be looked at: pictures of it, its Gaussians for a browser, and where to begin."""

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.assets.depth_color import depth_to_color
from diff4splat.cameras import Cameras
from diff4splat.gaussians import (
    DeformableGaussianField,
    Gaussians,
    evaluate_harmonics,
    gaussian_velocities,
    rgb_to_harmonics,
)
from diff4splat.geometry import project
from diff4splat.rendering import Rendering, render
from diff4splat.viewer.first_view import overview_camera
from diff4splat.viewer.live.look import Look
from diff4splat.viewer.motion_color import motion_full_speed, motion_to_color

__all__ = ["LiveScene", "Splats"]

_FIRST_SIZE = 256  # pixels of the longer side when a scene is measured


class Splats(NamedTuple):
    """Gaussians as browsers draw them: one colour each, covariances instead of axes."""

    centers: Float[np.ndarray, "gaussian xyz=3"]
    covariances: Float[np.ndarray, "gaussian 3 3"]
    colors: Float[np.ndarray, "gaussian rgb=3"]
    opacities: Float[np.ndarray, "gaussian 1"]


class LiveScene:
    """A field, the limits of its colours, and a lock: one picture is drawn at a time, whoever asks.

    Args:
        field: One field without batch axes, at least one Gaussian.
        cameras: Commanded path from time 0 to 1; one camera that sees the scene when omitted.

    Attributes:
        cameras: The path, or that camera.
        commanded: Whether the path was given.
        near: Depth that is brightest, scene units.
        far: Depth that is darkest, scene units.
        focus: Middle depth of what the first camera sees, scene units.
        full_speed: Speed that shows in full colour, scene units per clip.
    """

    def __init__(self, field: DeformableGaussianField, cameras: Cameras | None = None) -> None:
        self.field = field.detach().to(dtype=torch.promote_types(field.dtype, torch.float32))
        self.commanded = cameras is not None
        self._lock = threading.Lock()
        self._colored: tuple[int, DeformableGaussianField] | None = None
        self.cameras = (overview_camera(self.field.at(0.0)) if cameras is None else cameras).to(
            "cpu", torch.float32
        )
        self.near, self.focus, self.far = self._depths()
        self.full_speed = motion_full_speed(self.field)

    def picture(self, camera: Cameras, look: Look) -> UInt8[np.ndarray, "height width rgb=3"]:
        """What one camera sees, over black.

        Args:
            camera: One camera, in world coordinates.
            look: Moment and quantity; `mode` makes no difference here.

        Returns:
            sRGB in 0 to 255, rounded.
        """
        seen = self.rendering(camera, look)
        if look.show == "depth":
            color = depth_to_color(seen.depth[:, 0], near=self.near, far=self.far)[0]
        else:
            color = seen.color[0]
        pixels = rearrange((color.clamp(0, 1) * 255).round().to(torch.uint8), "c h w -> h w c")
        return np.ascontiguousarray(pixels.cpu().numpy())

    def rendering(self, camera: Cameras, look: Look) -> Rendering:
        """Colour, alpha and depth of what one camera sees.

        Args:
            camera: One camera, in world coordinates.
            look: Moment and quantity.

        Returns:
            One frame; where motion is shown, its colours are the colour.
        """
        camera = camera.to(self.field.device, self.field.dtype)
        with self._lock, torch.no_grad():
            field = self._in_motion_colors(look.time) if look.show == "motion" else self.field
            if look.gaussians == "canonical":
                return render(field.canonical, camera)
            return field.render(camera, torch.full((1,), look.time, device=field.device))

    def splats(self, camera: Cameras, look: Look) -> Splats:
        r"""The Gaussians for a browser, with covariances of the deformed values.

        $$\Sigma_t = R_t \, \mathrm{diag}(s_t)^2 R_t^\top$$

        with $R_t$ and $s_t$ the rotation and the scales at the time of `look`, or the canonical ones.

        Args:
            camera: One camera; colours are those seen from it, and depth is its.
            look: Moment and quantity.

        Returns:
            Arrays in float32; colours and opacities in [0, 1].
        """
        with self._lock, torch.no_grad():
            field = self._in_motion_colors(look.time) if look.show == "motion" else self.field
            gaussians = field.canonical if look.gaussians == "canonical" else field.at(look.time)
            colors = self._splat_colors(gaussians, camera.to(field.device, field.dtype), look)
            values = (gaussians.means, gaussians.covariances(), colors, gaussians.opacities[:, None])
            return Splats(*(value.float().cpu().numpy() for value in values))

    def _splat_colors(
        self, gaussians: Gaussians, camera: Cameras, look: Look
    ) -> Float[Tensor, "gaussian rgb=3"]:
        """One colour per Gaussian, as seen from a camera."""
        if look.show == "depth":
            _, depth = project(gaussians.means, camera.camera_to_world[0], camera.intrinsics[0])
            return rearrange(depth_to_color(depth[None], near=self.near, far=self.far), "c 1 n -> n c")
        directions = gaussians.means - camera.positions[0]
        return evaluate_harmonics(gaussians.harmonics, directions).clamp(0, 1)

    def _in_motion_colors(self, time: float) -> DeformableGaussianField:
        """The field with colours of its velocities, which are constant between stored times."""
        moment = torch.full((1,), time, dtype=self.field.times.dtype, device=self.field.device)
        interval = int(torch.searchsorted(self.field.times, moment, right=True))
        if self._colored is None or self._colored[0] != interval:
            velocities = gaussian_velocities(self.field, time).linear
            harmonics = rgb_to_harmonics(motion_to_color(velocities, full_speed=self.full_speed))
            canonical = replace(self.field.canonical, harmonics=harmonics[:, None])
            self._colored = interval, replace(self.field, canonical=canonical)
        return self._colored[1]

    def _depths(self) -> tuple[float, float, float]:
        """Nearest, middle and farthest depth that the first camera sees at the start."""
        first = self.cameras.select(0)
        factor = min(1.0, _FIRST_SIZE / max(first.height, first.width))
        small = first.resize(max(1, round(first.height * factor)), max(1, round(first.width * factor)))
        seen = self.rendering(small, Look())
        depth = seen.depth[seen.alpha > 0.5].double().sort().values
        if not len(depth):
            return 0.5, 1.0, 2.0
        near, focus, far = (float(depth[int(part * (len(depth) - 1))]) for part in (0.01, 0.5, 0.99))
        return near, focus, max(far, near * 1.001)
