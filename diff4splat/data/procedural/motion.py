r"""Rigid motion of the objects as a closed form of time.

An object with pivot $c_0$ and rotation $R_0$ at time 0 has, at time $t \in [0, 1]$, its pivot at
$c(t) = c_0 + d\, s(t) + u\, |\sin(\pi n t)| + w \sin(2 \pi n t)$ and the rotation
$R(t) = \mathrm{Rot}(a, \theta\, t)\, R_0$: travel $d$ with a profile $s$ from 0 to 1, hops $u$, sway $w$, and
a spin by $\theta$ radians about the axis $a$. Its centre is $c(t) + R(t)\, b$ with the arm $b$.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["PROFILES", "RigidMotion", "axis_angle_matrix"]

PROFILES = ("linear", "accelerate", "decelerate", "ease")


def axis_angle_matrix(
    axis: Float[Tensor, "*batch xyz=3"], angle: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about a unit axis (right-handed), after Rodrigues.

    Args:
        axis: Unit vectors.
        angle: Radians.

    Returns:
        Rotation matrices.
    """
    x, y, z = axis.unbind(-1)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    rest = 1.0 - cosine
    rows = [
        cosine + x * x * rest,
        x * y * rest - z * sine,
        x * z * rest + y * sine,
        x * y * rest + z * sine,
        cosine + y * y * rest,
        y * z * rest - x * sine,
        x * z * rest - y * sine,
        y * z * rest + x * sine,
        cosine + z * z * rest,
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


@dataclass(frozen=True)
class RigidMotion:
    """The motion of every object; lengths in scene units, in one common frame.

    Args:
        center: Pivots at time 0: what travels, and what the object turns about.
        rotation: Object-to-frame rotations at time 0.
        arm: From the pivot to the object's centre, along the object's axes.
        travel: Displacement from time 0 to time 1.
        profile: Index into `PROFILES`: how the travel is spread over time.
        hop: Highest point of a hop above the path.
        sway: Amplitude of the swing about the path.
        cycles: Hops or swings per clip.
        spin_axis: Unit axis of rotation.
        spin_angle: Radians turned from time 0 to time 1.
    """

    center: Float[Tensor, "*batch xyz=3"]
    rotation: Float[Tensor, "*batch 3 3"]
    arm: Float[Tensor, "*batch xyz=3"]
    travel: Float[Tensor, "*batch xyz=3"]
    profile: Int64[Tensor, "*batch"]
    hop: Float[Tensor, "*batch xyz=3"]
    sway: Float[Tensor, "*batch xyz=3"]
    cycles: Float[Tensor, "*batch"]
    spin_axis: Float[Tensor, "*batch xyz=3"]
    spin_angle: Float[Tensor, "*batch"]

    def map(self, function: Callable[[Tensor], Tensor]) -> "RigidMotion":
        """Apply one function to every tensor.

        Args:
            function: Applied to each tensor.

        Returns:
            The motion of what it gives.
        """
        return RigidMotion(**{field.name: function(getattr(self, field.name)) for field in fields(self)})

    def at(
        self, times: Float[Tensor, "*#moment"]
    ) -> tuple[Float[Tensor, "*#moment 3 3"], Float[Tensor, "*#moment xyz=3"]]:
        """Rotation and centre of each object at a time.

        Args:
            times: In [0, 1]; broadcast against the leading axes of the fields.

        Returns:
            Object-to-frame rotations, and centres.
        """
        shares = torch.stack([times, times**2, 1 - (1 - times) ** 2, times**2 * (3 - 2 * times)], dim=-1)
        profile = self.profile.expand(torch.broadcast_shapes(times.shape, self.profile.shape))
        shares = shares.expand(*profile.shape, len(PROFILES))
        share = shares.gather(-1, profile[..., None])
        phase = (torch.pi * self.cycles * times)[..., None]
        center = self.center + self.travel * share
        center = center + self.hop * torch.sin(phase).abs() + self.sway * torch.sin(2 * phase)
        angle = self.spin_angle * times
        rotation = axis_angle_matrix(self.spin_axis.expand(*angle.shape, 3), angle) @ self.rotation
        return rotation, center + (rotation @ self.arm[..., None]).squeeze(-1)
