"""Which clips are asked of a method: the input images, paths and prompts, and where the truth lies."""

from dataclasses import dataclass

__all__ = ["EvaluationClip", "Manifest"]


@dataclass(frozen=True)
class EvaluationClip:
    """One clip that every method has to make.

    Paths of files are relative to the folder of the manifest.

    Args:
        name: Names the clip, and the video of a method: `<name>.mp4`, or a folder `<name>/` of pictures.
            Letters, digits, ".", "_", "-", and one "/" between scene and trajectory.
        scene: What is shown; clips of one scene are not independent of each other.
        trajectory: Name of the camera path.
        prompt: What the clip is to show; may be empty.
        seed: Seed that the method is to use.
        image: The input image.
        cameras: Cameras of the frames, a file that `diff4splat.cameras.load_cameras` reads.
        reference: Real frames along the same path, a video or a folder of pictures; empty if there are none.
        closed: Whether the last camera is the first one.
        frozen: Whether time is to stand still: only a method with an explicit scene can make such a clip.
    """

    name: str
    scene: str
    trajectory: str
    prompt: str
    seed: int
    image: str
    cameras: str
    reference: str = ""
    closed: bool = False
    frozen: bool = False


@dataclass(frozen=True)
class Manifest:
    """The clips of a protocol.

    Args:
        name: Name of the protocol.
        clips: The clips, names all different.
        num_frames: Frames of every clip.
        height: Rows of the input images and references, pixels.
        width: Columns, pixels.
        fps: Frames per second that are asked for.
        note: Where it all comes from, and its licence, in words.
    """

    name: str
    clips: tuple[EvaluationClip, ...]
    num_frames: int
    height: int
    width: int
    fps: float
    note: str = ""
