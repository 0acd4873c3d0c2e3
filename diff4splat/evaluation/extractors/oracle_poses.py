"""Poses that are known, with errors that are known: what an estimator could say, for tests."""

import math

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors.pose_inputs import path_of
from diff4splat.evaluation.extractors.protocols import EstimatedPath
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["OraclePoses"]


class OraclePoses:
    """An estimator that is told the path, and errs and fails as much as it is asked to.

    Each true pose is followed by an error in the axes of its camera: a turn about a random axis by a normal
    angle, and a normal shift. Then positions are multiplied by `scale`, and the first registered frame
    becomes the identity, as with any estimator; its error is in all other poses then.

    Args:
        cameras: The true path, without batch axes.
        rotation_noise_deg: Standard deviation of the turns, degrees.
        translation_noise: Standard deviation of each axis of the shifts, true units.
        scale: Unit of the reported positions, by the true one.
        failing: Share of the frames that are not registered, drawn from the seed.
        seed: Seed of all draws.

    Raises:
        ValueError: If there are batch axes or an option is out of range.
    """

    def __init__(
        self,
        cameras: Cameras,
        *,
        rotation_noise_deg: float = 0.0,
        translation_noise: float = 0.0,
        scale: float = 1.0,
        failing: float = 0.0,
        seed: int = 0,
    ) -> None:
        if cameras.batch_shape:
            raise ValueError("cameras must be a single path, got batch axes.")
        noises = {"rotation_noise_deg": rotation_noise_deg, "translation_noise": translation_noise}
        for name, noise in noises.items():
            if not 0 <= noise < math.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {noise}.")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be a positive number, got {scale}.")
        if not 0 <= failing <= 1:
            raise ValueError(f"failing must lie in [0, 1], got {failing}.")
        self._truth = cameras.relative_to().camera_to_world.detach().cpu().double()
        self._rotation_noise = math.radians(rotation_noise_deg)
        self._translation_noise = translation_noise
        self._scale = scale
        self._failing = failing
        self._seed = seed
        self._spec = ExtractorSpec(
            name="oracle, told the path",
            layer=(
                f"noise {rotation_noise_deg:g} deg and {translation_noise:g} units, scale {scale:g}, "
                f"{failing:g} of the frames fail"
            ),
            preprocessing="frames are not looked at",
            weights=f"seed {seed}",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(
        self,
        frames: UInt8[Tensor, "frame rgb=3 height width"],
        intrinsics: Float[Tensor, "3 3"],
        *,
        mask: Bool[Tensor, "frame height width"] | None = None,
    ) -> EstimatedPath:
        """The path that it was told, with its errors.

        Args:
            frames: RGB of one clip; only their number and size count.
            intrinsics: The lens, pixels.
            mask: Not used.

        Returns:
            Poses relative to the first registered frame.

        Raises:
            ValueError: If the frames are not as many as the cameras.
        """
        count = len(self._truth)
        if len(frames) != count:
            raise ValueError(f"frames must be {count}, one for each camera, got {len(frames)}.")
        generator = torch.Generator().manual_seed(self._seed)
        axes, shifts = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
        angles = torch.randn(count, 1, generator=generator, dtype=torch.float64) * self._rotation_noise
        chances = torch.rand(count, generator=generator, dtype=torch.float64)
        noise = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
        turns = torch.nn.functional.normalize(axes, dim=-1) * angles
        noise[:, :3, :3] = torch.linalg.matrix_exp(_crosses(turns))
        noise[:, :3, 3] = shifts * self._translation_noise
        poses = self._truth @ noise
        poses[:, :3, 3] *= self._scale
        kept = {index: poses[index] for index in range(count) if chances[index] >= self._failing}
        return path_of(frames, intrinsics, kept, f"{count - len(kept)} of {count} frames fail as asked")


def _crosses(vectors: Float[Tensor, "frame xyz=3"]) -> Float[Tensor, "frame 3 3"]:
    """Matrices of the cross products with vectors."""
    return torch.linalg.cross(vectors[:, None], torch.eye(3, dtype=vectors.dtype)[None], dim=-1).mT
