"""Writers of `diff4splat export` for Gaussians as they are."""

import torch

from diff4splat.assets import save_glb, save_ply, save_ply_sequence, save_splat, save_usd
from diff4splat.cli.exports.kinds import ExportJob, clip_seconds
from diff4splat.gaussians import Gaussians

__all__ = ["write_glb", "write_ply", "write_ply_sequence", "write_splat", "write_usd"]


def write_ply(job: ExportJob) -> None:
    """A 3DGS PLY of one moment.

    Args:
        job: The scene and where it goes; of the options, `time`.
    """
    save_ply(_moment(job), job.output, provenance=job.field.metadata)


def write_ply_sequence(job: ExportJob) -> None:
    """A folder with a 3DGS PLY per moment.

    Args:
        job: The scene and where it goes; of the options, `frames`.
    """
    save_ply_sequence(job.field, job.output, times=_times(job), callback=job.progress)


def write_splat(job: ExportJob) -> None:
    """A .splat file of one moment.

    Args:
        job: The scene and where it goes; of the options, `time`.
    """
    save_splat(_moment(job), job.output)


def write_glb(job: ExportJob) -> None:
    """A glTF file of one moment.

    Args:
        job: The scene and where it goes; of the options, `time`.
    """
    save_glb(_moment(job), job.output, provenance=job.field.metadata)


def write_usd(job: ExportJob) -> None:
    """An OpenUSD stage with time samples and the camera path.

    Args:
        job: The scene and where it goes; of the options, `frames` and `seconds`.
    """
    save_usd(
        job.field,
        job.output,
        times=_times(job),
        seconds=clip_seconds(job),
        fps=job.fps,
        cameras=job.cameras,
    )


def _moment(job: ExportJob) -> Gaussians:
    """The Gaussians at `--time`, or the canonical ones."""
    return job.field.canonical if job.options.time is None else job.field.at(job.options.time)


def _times(job: ExportJob) -> torch.Tensor | None:
    """`--frames` moments from 0 to 1; None for those that the scene stores."""
    return None if job.options.frames is None else torch.linspace(0, 1, job.options.frames)
