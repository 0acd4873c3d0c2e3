"""Poses of a clip by structure from motion with COLMAP: no learned weights."""

import json
import math
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors import colmap_worker
from diff4splat.evaluation.extractors.pose_inputs import check_clip, enlarged, path_of
from diff4splat.evaluation.extractors.protocols import EstimatedPath
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.geometry import rigid_inverse

__all__ = ["ColmapMapper", "ColmapPoses"]

ColmapMapper = Literal["global", "incremental"]
"""Mappers of COLMAP: all frames at once (GLOMAP), or one after the other."""

_ALL_PAIRS = 50  # frames up to which all pairs are matched
_MIN_ANGLE_DEG = 0.5  # least angle at which two rays fix a point


class ColmapPoses:
    """Poses by COLMAP with the lens held at its known value, in a process of its own.

    SIFT on frames that are made larger; all pairs of frames are matched, in clips of more than 50 frames
    those up to 10 frames apart and some further ones; then mapping. The thresholds are those that short clips
    of small pictures need; COLMAP's own are made for photographs. Of several reconstructions the one with the
    most frames counts. Everything runs on one thread with seeded draws; nothing of COLMAP is printed, and if
    it crashes or finds nothing, no frame is registered and the note says so. A camera that only turns gives
    no reconstruction.

    Args:
        mapper: How frames are put together. "incremental" goes wrong more often where the camera moves along
            its line of sight, because its first pair of frames decides.
        enlarge: Factor on the size of the frames before points are looked for.
        peak_threshold: Contrast below which a point is dropped, as COLMAP counts it.
        threshold_px: Largest distance of an inlier from its epipolar line, pixels of the frames as they come.
        min_matches: Fewest inliers of a pair of frames.
        max_features: Most points of a frame.
        seed: Seed of everything that is drawn.
        timeout_s: Seconds after which a clip is given up.

    Raises:
        ValueError: If an option is out of range.
        ModuleNotFoundError: If pycolmap is missing.
    """

    def __init__(
        self,
        mapper: ColmapMapper = "global",
        *,
        enlarge: int = 2,
        peak_threshold: float = 0.003,
        threshold_px: float = 1.0,
        min_matches: int = 12,
        max_features: int = 4096,
        seed: int = 0,
        timeout_s: float = 600.0,
    ) -> None:
        if mapper not in get_args(ColmapMapper):
            raise ValueError(f"mapper must be one of {', '.join(get_args(ColmapMapper))}, got {mapper!r}.")
        whole = {"enlarge": (enlarge, 1), "min_matches": (min_matches, 6), "max_features": (max_features, 6)}
        for name, (count, least) in whole.items():
            if count < least:
                raise ValueError(f"{name} must be at least {least}, got {count}.")
        numbers = {"peak_threshold": peak_threshold, "threshold_px": threshold_px, "timeout_s": timeout_s}
        for name, number in numbers.items():
            if not 0 < number < math.inf:
                raise ValueError(f"{name} must be a positive number, got {number}.")
        if find_spec("pycolmap") is None:
            raise ModuleNotFoundError('poses by COLMAP need pycolmap: pip install "diff4splat[sfm]"')
        self._mapper = mapper
        self._enlarge = enlarge
        self._peak_threshold = peak_threshold
        self._threshold_px = threshold_px
        self._min_matches = min_matches
        self._max_features = max_features
        self._seed = seed
        self._timeout_s = timeout_s
        self._spec = ExtractorSpec(
            name=f"COLMAP, pycolmap {version('pycolmap')}",
            layer=(
                f"{mapper} mapper, inliers within {threshold_px:g} px, at least {min_matches} a pair, "
                f"lens fixed, seed {seed}"
            ),
            preprocessing=(
                f"{enlarge} times as large, bicubic; SIFT, at most {max_features} points of contrast "
                f"{peak_threshold:g}"
            ),
            weights="none",
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
        """Estimate poses.

        Args:
            frames: RGB of one clip.
            intrinsics: The lens, pixels.
            mask: Pixels that may be used, such as those at rest; all when omitted.

        Returns:
            Poses in axes of the first frame that was found, in a unit of their own; a failure is a path of
            which no frame is registered.

        Raises:
            ValueError: If there is no frame, the lens is none, or the mask is not as large as the frames.
        """
        check_clip(frames, intrinsics, mask)
        with tempfile.TemporaryDirectory(prefix="diff4splat-colmap-") as name:
            folder = Path(name)
            self._write_job(folder, frames, intrinsics, mask)
            problem = self._run(folder)
            matrices = {} if problem else json.loads((folder / "poses.json").read_text())
        poses = {
            index: _pose(matrices[_name(index)]) for index in range(len(frames)) if _name(index) in matrices
        }
        if not problem:
            problem = f"COLMAP found {len(poses) or 'none'} of {len(frames)} frames"
        return path_of(frames, intrinsics, poses, problem)

    def _write_job(self, folder: Path, frames: Tensor, intrinsics: Tensor, mask: Tensor | None) -> None:
        """Pictures, masks and options, as the worker reads them."""
        import pycolmap

        (folder / "images").mkdir()
        for index, frame in enumerate(enlarged(frames, self._enlarge)):
            picture = pycolmap.Bitmap.from_array(frame.permute(1, 2, 0).contiguous().numpy())
            picture.write(str(folder / "images" / _name(index)))
        if mask is not None:
            (folder / "masks").mkdir()
            larger = mask.cpu().repeat_interleave(self._enlarge, 1).repeat_interleave(self._enlarge, 2)
            for index, usable in enumerate(larger):
                picture = pycolmap.Bitmap.from_array((usable.byte() * 255)[..., None].numpy())
                picture.write(str(folder / "masks" / f"{_name(index)}.png"))
        lens = intrinsics.detach().cpu().double()
        numbers = [self._enlarge * float(lens[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
        job = {
            "seed": self._seed,
            "mapper": self._mapper,
            "pairs": "exhaustive" if len(frames) <= _ALL_PAIRS else "sequential",
            "masked": mask is not None,
            "reader": {"camera_model": "PINHOLE", "camera_params": ",".join(map(repr, numbers))},
            **self._features(),
            "mapping": self._global() if self._mapper == "global" else self._incremental(),
        }
        (folder / "job.json").write_text(json.dumps(job))

    def _features(self) -> dict[str, Any]:
        """Options of extraction, matching and its verification."""
        sift = {"max_num_features": self._max_features, "peak_threshold": self._peak_threshold}
        drawn = {"random_seed": self._seed, "max_error": self._enlarge * self._threshold_px}
        return {
            "extraction": {"num_threads": 1, "sift": sift},
            "matching": {"num_threads": 1},
            "verification": {
                "min_num_inliers": self._min_matches,
                "detect_watermark": False,  # it takes what rests at the border for one
                "ransac": drawn,
            },
        }

    def _global(self) -> dict[str, Any]:
        """Options of the global mapper."""
        seeded = {"random_seed": self._seed}
        return {
            "num_threads": 1,
            **seeded,
            "min_num_matches": self._min_matches,
            "min_model_size": 2,
            "mapper": {
                "num_threads": 1,
                **seeded,
                "min_tri_angle_deg": _MIN_ANGLE_DEG,
                "rotation_averaging": seeded,
                "global_positioning": {**seeded, "use_gpu": False},
                "bundle_adjustment": {
                    "refine_focal_length": False,
                    "refine_extra_params": False,
                    "ceres": {"use_gpu": False, "solver_options": {"num_threads": 1}},
                },
                "retriangulation": seeded,
            },
        }

    def _incremental(self) -> dict[str, Any]:
        """Options of the incremental mapper; its own bounds want wide pairs with hundreds of matches."""
        seeded = {"num_threads": 1, "random_seed": self._seed}
        error = self._enlarge * self._threshold_px
        return {
            **seeded,
            "min_num_matches": self._min_matches,
            "min_model_size": 2,
            "extract_colors": False,
            "ba_refine_focal_length": False,
            "ba_refine_principal_point": False,
            "ba_refine_extra_params": False,
            "mapper": {
                **seeded,
                "init_min_num_inliers": self._min_matches,
                "init_max_error": error,
                "init_max_forward_motion": 1.0,
                "init_min_tri_angle": 2.0,
                "abs_pose_max_error": 2 * error,
                "abs_pose_min_num_inliers": self._min_matches,
                "abs_pose_refine_focal_length": False,
                "abs_pose_refine_extra_params": False,
                "ba_local_min_tri_angle": 1.0,
                "filter_max_reproj_error": error,
                "filter_min_tri_angle": _MIN_ANGLE_DEG,
            },
            "triangulation": {"min_angle": _MIN_ANGLE_DEG, "random_seed": self._seed},
        }

    def _run(self, folder: Path) -> str:
        """Let the worker do its job; what went wrong, in words."""
        command = [sys.executable, colmap_worker.__file__, str(folder)]
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s,
                env={**os.environ, **threads},
            )
        except subprocess.TimeoutExpired:
            return f"COLMAP did not end within {self._timeout_s:g} seconds"
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            return f"COLMAP failed with status {done.returncode}: {''.join(last)[:200]}"
        return ""


def _name(index: int) -> str:
    return f"{index:06d}.png"


def _pose(world_to_camera: list[list[float]]) -> Float[Tensor, "4 4"]:
    """Camera to world of the upper rows of world to camera."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] = torch.tensor(world_to_camera, dtype=torch.float64)
    return rigid_inverse(matrix)
