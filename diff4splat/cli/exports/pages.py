"""Writers of `diff4splat export` for pages that a browser opens."""

from diff4splat.cli.exports.kinds import ExportJob, clip_seconds
from diff4splat.viewer import save_player

__all__ = ["write_player"]


def write_player(job: ExportJob) -> None:
    """One HTML page with the moving scene in it.

    Args:
        job: The scene and where it goes; of the options, `seconds`.
    """
    save_player(job.field, job.output, cameras=job.cameras, title=job.title, seconds=clip_seconds(job))
