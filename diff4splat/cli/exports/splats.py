"""Writers of `diff4splat export` for Gaussians as they are."""

from diff4splat.assets import save_ply
from diff4splat.cli.exports.kinds import ExportJob
from diff4splat.gaussians import Gaussians

__all__ = ["write_ply"]


def write_ply(job: ExportJob) -> None:
    """A 3DGS PLY of one moment.

    Args:
        job: The scene and where it goes; of the options, `time`.
    """
    save_ply(_moment(job), job.output, provenance=job.field.metadata)


def _moment(job: ExportJob) -> Gaussians:
    """The Gaussians at `--time`, or the canonical ones."""
    return job.field.canonical if job.options.time is None else job.field.at(job.options.time)
