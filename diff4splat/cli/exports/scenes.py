"""Writers of `diff4splat export` for the files of this library."""

from diff4splat.assets import save_field
from diff4splat.cli.exports.kinds import ExportJob

__all__ = ["write_compact", "write_scene"]


def write_scene(job: ExportJob) -> None:
    """A scene.safetensors, exact: of another format of scenes, or a copy.

    Args:
        job: The scene and where it goes.
    """
    save_field(job.field, job.output, cameras=job.cameras)


def write_compact(job: ExportJob) -> None:
    """A scene.safetensors in the compact form.

    Args:
        job: The scene and where it goes.
    """
    save_field(job.field, job.output, cameras=job.cameras, compact=True)
