"""Writers of `diff4splat export` for what a scene shows: video, depth, mesh, tracks; and for its cameras."""

import logging

import torch

from diff4splat.assets import (
    DepthUnit,
    save_depth,
    save_depth_sequence,
    save_mesh,
    save_tracks,
    save_video,
)
from diff4splat.assets.animation import ANIMATION_SUFFIXES, checked_durations
from diff4splat.cameras import Cameras, save_cameras
from diff4splat.cli.exports.kinds import ExportJob, clip_seconds
from diff4splat.pipelines import field_mesh, fit_cameras, mesh_cameras, pixel_tracks, render_path
from diff4splat.rendering import Rendering

__all__ = ["write_cameras", "write_depth", "write_mesh", "write_tracks", "write_video"]

logger = logging.getLogger(__name__)

_MILLIMETRES_REACH = 65.535
_LEAST_ALPHA = 0.5
_RESOLUTION = 256


def write_video(job: ExportJob) -> None:
    """The clip along the path that the scene was made with; `diff4splat render` has other paths.

    Args:
        job: The scene and where it goes; of the options, `frames`, `seconds`, `size` and
            how videos are marked.
    """
    path = _path(job)
    fps = path.num_frames / clip_seconds(job)
    suffix = job.output.suffix.lower()
    if suffix in ANIMATION_SUFFIXES:
        checked_durations(path.num_frames, fps, suffix)  # before the work
    film = render_path(job.field, path, callback=job.progress)
    marks, origin = job.options, {**job.field.metadata, "fps": fps}
    mark = marks.watermark_for(job.field)
    save_video(film.color, job.output, fps=fps, provenance=origin, watermark=mark)
    marks.sign([job.output], job.field)


def write_depth(job: ExportJob) -> None:
    """Depth along the path, as 16-bit PNGs or as floats; or a single map at `--time`.

    Args:
        job: The scene and where it goes; of the options, `frames`, `size` and `time`.
    """
    path, time, provenance = _path(job), job.options.time, job.field.metadata
    floats = job.output.suffix.lower() == ".npz"
    folder = not job.output.suffix or job.output.is_dir()
    if time is not None and folder:
        raise ValueError(f"--output must end in .png for one map, got the folder {job.output}.")
    if folder and job.output.is_dir() and any(job.output.iterdir()):
        raise ValueError(f"--output must be a new or an empty folder, got {job.output}.")
    if time is None and (floats or folder):
        times = torch.linspace(0, 1, path.num_frames)
        maps = _known_depth(render_path(job.field, path, times, callback=job.progress))
        unit = None if floats else _unit(job, maps)
        save_depth_sequence(maps, job.output, cameras=path, times=times, unit=unit, provenance=provenance)
        return
    if job.options.frames is not None:
        raise ValueError("--frames is for depth of the whole clip, got a single map.")
    moment = torch.tensor([0.0 if time is None else time])
    film = render_path(job.field, path.interpolate(moment), moment, callback=job.progress)
    depth = _known_depth(film)[0]
    save_depth(depth, job.output, unit=None if floats else _unit(job, depth), provenance=provenance)


def write_mesh(job: ExportJob) -> None:
    """Triangles of one moment, from views along the path and around its start.

    Args:
        job: The scene and where it goes; of the options, `resolution` and `time`.
    """
    views = mesh_cameras(job.field, _recorded(job))
    resolution = job.options.resolution or _RESOLUTION
    time = job.options.time or 0.0
    mesh = field_mesh(job.field, time, views, resolution=resolution, callback=job.progress)
    save_mesh(mesh, job.output, provenance={**job.field.metadata, "time": time})


def write_tracks(job: ExportJob) -> None:
    """Where what the first frame shows is in every frame.

    Args:
        job: The scene and where it goes; of the options, `frames` and `size`.
    """
    tracks = pixel_tracks(job.field, _path(job), callback=job.progress)
    save_tracks(tracks, job.output, provenance=job.field.metadata)


def write_cameras(job: ExportJob) -> None:
    """The path that the scene was made with, in the format that the name of the output means.

    Args:
        job: The scene and where it goes.
    """
    save_cameras(_recorded(job), job.output)


def _recorded(job: ExportJob) -> Cameras:
    """The path that the scene was made with."""
    if job.cameras is None:
        words = f"SCENE must hold the camera path it was made with for --to {job.kind}, got none"
        if job.kind == "video":
            words += "; diff4splat render takes any path: --trajectory NAME|FILE"
        raise ValueError(f"{words}.")
    return job.cameras


def _path(job: ExportJob) -> Cameras:
    """That path in `--frames` frames whose longer side is `--size`."""
    path = _recorded(job)
    scale = 1.0 if job.options.size is None else job.options.size / max(path.height, path.width)
    height, width = (max(1, round(side * scale)) for side in (path.height, path.width))
    fitted = fit_cameras(path, height=height, width=width, num_frames=job.options.frames, coordinates="kept")
    return fitted.to(dtype=job.field.dtype)


def _known_depth(film: Rendering) -> torch.Tensor:
    """Depth of the frames, 0 where a pixel is covered by less than a half."""
    return torch.where(film.alpha >= _LEAST_ALPHA, film.depth, torch.zeros_like(film.depth))[:, 0]


def _unit(job: ExportJob, depth: torch.Tensor) -> DepthUnit | None:
    """Millimetres where the scene is metric and they reach; else the finest steps that do."""
    farthest = float(depth.max())
    if job.field.metadata.get("depth") == "metric" and farthest < _MILLIMETRES_REACH:
        return None
    logger.info(
        "the depth is in steps of %.3g scene units, which the files state, not in millimetres: %s",
        farthest / 65535,
        "the scene is farther"
        if farthest >= _MILLIMETRES_REACH
        else "the scene is not known to be in metres",
    )
    return "fit"
