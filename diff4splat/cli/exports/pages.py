"""Writers of `diff4splat export` for pages that a browser opens."""

from diff4splat.cli.exports.kinds import ExportJob
from diff4splat.cli.options import DEFAULT_FRAMES
from diff4splat.viewer import save_player

__all__ = ["write_player"]


def write_player(job: ExportJob) -> None:
    """One HTML page with the moving scene in it.

    Args:
        job: The scene and where it goes; of the options, `seconds`.
    """
    frames = DEFAULT_FRAMES if job.cameras is None else job.cameras.num_frames
    seconds = job.options.seconds or frames / job.fps
    save_player(job.field, job.output, cameras=job.cameras, title=job.title, seconds=seconds)
