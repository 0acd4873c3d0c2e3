"""A clip at a glance: frames, depth, what moves and tracks on one sheet, for people who go through many."""

import io

import numpy as np
import torch
from torch import Tensor

from diff4splat.assets import depth_to_color, position_to_color
from diff4splat.data.curation.seen_places import seen_places
from diff4splat.data.recordings import Recording

__all__ = ["preview_sheet"]

_GAP = 2
_OUTLINE = torch.tensor([255, 60, 60], dtype=torch.uint8)
_MOST_TRACKS = 64


def preview_sheet(
    recording: Recording, *, num_frames: int = 6, cell_width: int = 192, quality: int = 85
) -> bytes:
    """A sheet of small pictures: a row of frames with what moves outlined and tracks as dots, a row of depth.

    Args:
        recording: Any; rows of what it lacks are left out.
        num_frames: Frames at most, evenly spread.
        cell_width: Columns of each picture, pixels.
        quality: Of the JPEG, 1 to 95.

    Returns:
        A JPEG file.

    Raises:
        ValueError: If an option is out of its range.
    """
    if num_frames < 1 or cell_width < 8:
        raise ValueError(
            f"num_frames must be at least 1 and cell_width at least 8, got {num_frames} and {cell_width}."
        )
    if not 1 <= quality <= 95:
        raise ValueError(f"quality must lie in 1 to 95, got {quality}.")
    from PIL import Image

    count = min(num_frames, recording.num_frames)
    places = torch.linspace(0, recording.num_frames - 1, count).round().long().tolist()
    some = recording.select(places)
    height = max(1, round(cell_width * recording.height / recording.width))
    small = some.resize(height, cell_width)
    rows = [small.video]
    if small.dynamic_mask is not None or small.tracks is not None:
        rows.append(_with_tracks(_with_outline(small), small))
    if small.depth is not None and small.depth_mask is not None:
        known = small.depth_mask & torch.isfinite(small.depth) & (small.depth > 0)
        colors = depth_to_color(torch.where(known, small.depth, 0).float(), mask=known)
        rows.append((255 * colors).round().to(torch.uint8))
    sheet = np.full(
        (len(rows) * (height + _GAP) - _GAP, count * (cell_width + _GAP) - _GAP, 3), 255, np.uint8
    )
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = row * (height + _GAP), column * (cell_width + _GAP)
            sheet[top : top + height, left : left + cell_width] = picture.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, format="JPEG", quality=quality)
    return file.getvalue()


def _with_outline(recording: Recording) -> Tensor:
    """Frames with a line around what moves."""
    video, mask = recording.video.clone(), recording.dynamic_mask
    if mask is None:
        return video
    inner = mask.clone()
    for axis in (1, 2):
        for step in (1, -1):
            inner &= mask.roll(step, axis)
    edge = mask & ~inner
    return torch.where(edge[:, None], _OUTLINE[:, None, None], video)


def _with_tracks(video: Tensor, recording: Recording) -> Tensor:
    """Frames with a dot of its own colour for each of some tracks."""
    tracks, visible = recording.tracks, recording.visible
    if tracks is None or visible is None or not len(tracks):
        return video
    if recording.track_pixels is not None:
        pixels = recording.track_pixels.transpose(0, 1).double()
    elif recording.cameras is not None:
        finite = torch.isfinite(tracks).all(-1)[..., None]
        pixels, z, _ = seen_places(torch.where(finite, tracks, 0).transpose(0, 1), recording.cameras)
        pixels = torch.where((z > 0)[..., None], pixels, -1.0)
    else:
        return video
    chosen = torch.linspace(0, len(tracks) - 1, min(len(tracks), _MOST_TRACKS)).round().long()
    colors = (255 * position_to_color(torch.linspace(0, 1, len(chosen)))).round().to(torch.uint8)
    for frame in range(len(video)):
        for color, track in zip(colors, chosen.tolist(), strict=True):
            place = pixels[frame, track]
            inside = torch.isfinite(place).all() and (place >= 0).all()
            if visible[track, frame] and inside and place[0] < video.shape[3] and place[1] < video.shape[2]:
                column, row = place.floor().long().tolist()
                video[frame, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = color[
                    :, None, None
                ]
    return video
