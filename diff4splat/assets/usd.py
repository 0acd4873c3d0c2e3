"""A field as OpenUSD: `ParticleField3DGaussianSplat` with time samples, the one standard that holds motion.

The Gaussians keep the numbers of the field; their parent turns them by half a turn about z, from y-down to
y-up axes. USD stores quaternions xyzw, scales linear, opacities as probabilities and harmonics Gaussian by
Gaussian.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.ply import check_single
from diff4splat.cameras import Cameras
from diff4splat.files import atomic_path
from diff4splat.gaussians import DeformableGaussianField

if TYPE_CHECKING:
    from pxr import Usd

__all__ = ["save_usd"]

SUFFIXES = (".usda", ".usdc", ".usdz", ".usd")
STANDARD_DEVIATIONS = 3  # of a Gaussian that lie within its extent
APERTURE_MM = 20.955  # of the film; the lens follows from it, and only their ratio shows


def save_usd(
    field: DeformableGaussianField,
    path: str | os.PathLike[str],
    *,
    times: Float[Tensor, " frame"] | Sequence[float] | None = None,
    seconds: int | float = 2.0,
    fps: int | float = 24,
    cameras: Cameras | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a field as an OpenUSD stage with time samples.

    Centres, orientations and scales get a sample per time if they change, and one value if they do not;
    opacities and harmonics never change. Quaternions are unit and on the side of those of the sample before,
    so that a program may blend them. Between samples USD blends scales linearly, a field in "log" space
    their logarithms: more `times` bring the two closer. The file is written whole or not at all.

    Args:
        field: One field without batch axes.
        path: File to write: `.usda` (text), `.usdc` or `.usd` (binary), or `.usdz` (one package).
        times: Times in [0, 1] to sample, ascending; those stored in the field when omitted.
        seconds: How long the clip lasts from time 0 to time 1, > 0.
        fps: Time codes per second, > 0; the time code of a time is time x seconds x fps.
        cameras: A camera path, equally spaced in time from 0 to 1, written as a camera of the stage; skew is
            left out.
        provenance: JSON values that join `field.metadata` in `customLayerData`, and win where a key is in
            both.

    Raises:
        ImportError: If usd-core is not installed, or is older than 26.3.
        ValueError: If the field or the cameras have batch axes or invalid values, an argument is out of
            range, the suffix is another one, or provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path must end in {', '.join(SUFFIXES)}, got {path}.")
    for name, value in (("seconds", seconds), ("fps", fps)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value}.")
    check_single(field.canonical)
    field.validate()
    if cameras is not None:
        if tuple(cameras.batch_shape):
            raise ValueError(f"cameras must have no batch axes, got {tuple(cameras.batch_shape)}.")
        cameras.validate()
    values = field.times if times is None else torch.as_tensor(times, dtype=torch.float64)
    moments = [float(value) for value in values.reshape(-1).tolist()]
    if not moments or not all(0 <= value <= 1 for value in moments) or sorted(set(moments)) != moments:
        raise ValueError(f"times must ascend strictly in [0, 1], got {moments}.")
    try:
        words = json.dumps({**field.metadata, **(provenance or {})}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance must consist of JSON values, but {error}.") from error
    _require_usd()
    duration = float(seconds * fps)
    with tempfile.TemporaryDirectory() as folder:  # USD gives a meaning to some characters of a path
        stage = _empty_stage(Path(folder) / f"scene{'.usda' if suffix == '.usda' else '.usdc'}")
        stage.GetRootLayer().customLayerData = {"diff4splat": {"version": _version(), "provenance": words}}
        stage.SetTimeCodesPerSecond(fps)
        stage.SetFramesPerSecond(fps)
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(duration)
        _add_gaussians(stage, field, moments, duration)
        if cameras is not None:
            _add_cameras(stage, cameras, duration)
        stage.GetRootLayer().Save()
        written = Path(stage.GetRootLayer().realPath)
        if suffix == ".usdz":
            written = _packaged(written)
        with atomic_path(path) as temporary:
            shutil.copyfile(written, temporary)


def _require_usd() -> None:
    """ImportError where USD is missing or does not know Gaussians."""
    advice = "pip install 'diff4splat[usd]'"
    try:
        from pxr import UsdVol
    except ImportError as error:
        raise ImportError(f"save_usd needs usd-core: {advice}") from error
    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        raise ImportError(f"save_usd needs usd-core 26.3 or later: {advice}")


def _empty_stage(path: Path) -> "Usd.Stage":
    """Stage with y up, in metres, whose root turns OpenCV axes to it."""
    from pxr import Gf, Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/Scene")
    root.AddTransformOp().Set(Gf.Matrix4d(np.diag([-1.0, -1.0, 1.0, 1.0]).tolist()))
    stage.SetDefaultPrim(root.GetPrim())
    return stage


def _add_gaussians(
    stage: "Usd.Stage", field: DeformableGaussianField, moments: list[float], duration: float
) -> None:
    """The particle field, with one sample per moment of what changes."""
    from pxr import UsdVol, Vt

    particles = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Scene/Gaussians")
    harmonics = _array(rearrange(field.canonical.harmonics, "n k c -> (n k) c"))
    particles.CreateRadianceSphericalHarmonicsDegreeAttr(field.canonical.sh_degree)
    particles.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray.FromNumpy(harmonics))
    particles.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(_array(field.canonical.opacities)))
    particles.CreateProjectionModeHintAttr("perspective")
    particles.CreateSortingModeHintAttr("zDepth")
    samples: dict[str, list[np.ndarray]] = {"positions": [], "orientations": [], "scales": [], "extent": []}
    for moment in moments:
        gaussians = field.at(moment)
        unit = torch.nn.functional.normalize(gaussians.quaternions.double(), dim=-1, eps=1e-300)
        reach = STANDARD_DEVIATIONS * gaussians.scales.amax(dim=-1, keepdim=True)
        extent = ((gaussians.means - reach).amin(dim=0), (gaussians.means + reach).amax(dim=0))
        samples["positions"].append(_array(gaussians.means))
        samples["orientations"].append(_aligned(_array(unit[:, [1, 2, 3, 0]]), samples["orientations"]))
        samples["scales"].append(_array(gaussians.scales.clamp(min=torch.finfo(torch.float32).tiny)))
        samples["extent"].append(_array(torch.stack(extent)))
    for name, (attribute, kind) in {
        "positions": (particles.CreatePositionsAttr(), Vt.Vec3fArray),
        "orientations": (particles.CreateOrientationsAttr(), Vt.QuatfArray),
        "scales": (particles.CreateScalesAttr(), Vt.Vec3fArray),
        "extent": (particles.CreateExtentAttr(), Vt.Vec3fArray),
    }.items():
        first, *others = samples[name]
        if all(np.array_equal(first, other) for other in others):
            attribute.Set(kind.FromNumpy(first))
            continue
        for moment, values in zip(moments, samples[name], strict=True):
            attribute.Set(kind.FromNumpy(values), moment * duration)


def _add_cameras(stage: "Usd.Stage", cameras: Cameras, duration: float) -> None:
    """The camera path as one camera with samples; USD looks along -z with y up."""
    from pxr import Gf, UsdGeom

    camera = UsdGeom.Camera.Define(stage, "/Scene/Camera")
    turned = cameras.camera_to_world.double().cpu() @ torch.diag(
        torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    )
    intrinsics = cameras.intrinsics.double().cpu()
    frames, last = cameras.num_frames, max(1, cameras.num_frames - 1)
    pose, width, height = camera.AddTransformOp(), cameras.width, cameras.height
    lens = (
        camera.CreateFocalLengthAttr(),
        camera.CreateHorizontalApertureAttr(),
        camera.CreateVerticalApertureAttr(),
        camera.CreateHorizontalApertureOffsetAttr(),
        camera.CreateVerticalApertureOffsetAttr(),
    )
    camera.CreateClippingRangeAttr(Gf.Vec2f(0.01, 1e6))
    for frame in range(frames):
        focal_x, focal_y = float(intrinsics[frame, 0, 0]), float(intrinsics[frame, 1, 1])
        centre_x, centre_y = float(intrinsics[frame, 0, 2]), float(intrinsics[frame, 1, 2])
        unit = APERTURE_MM / width  # millimetres of film per pixel across, at the focal length of x
        values = (
            focal_x * unit,
            APERTURE_MM,
            height * unit * focal_x / focal_y,
            (width / 2 - centre_x) * unit,
            (centre_y - height / 2) * unit * focal_x / focal_y,
        )
        code = frame / last * duration
        pose.Set(Gf.Matrix4d(turned[frame].T.tolist()), code)  # USD writes matrices for row vectors
        for attribute, value in zip(lens, values, strict=True):
            attribute.Set(value, code)


def _aligned(quaternions: np.ndarray, before: list[np.ndarray]) -> np.ndarray:
    """Quaternions of the same rotations, on the side of those of the sample before."""
    if not before:
        return quaternions
    return np.where((quaternions * before[-1]).sum(-1, keepdims=True) < 0, -quaternions, quaternions)


def _packaged(layer: Path) -> Path:
    """The layer inside a .usdz beside it."""
    from pxr import Sdf, UsdUtils

    package = layer.with_suffix(".usdz")
    if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(package)):
        raise OSError(f"USD could not make a package of {layer.name}.")
    return package


def _array(tensor: Tensor) -> np.ndarray:
    """Contiguous 32-bit values on the CPU."""
    return np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())


def _version() -> str:
    from diff4splat import __version__

    return __version__
