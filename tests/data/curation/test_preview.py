"""A sheet shows what there is, and nothing where there is nothing."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from data.checking.scenes import recording
from PIL import Image

from diff4splat.data.curation import preview_sheet


def pixels(sheet: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(sheet)) as picture:
        assert picture.format == "JPEG"
        return np.array(picture).astype(int)


def test_rows_are_frames_marks_and_depth() -> None:
    one = recording()
    sheet = pixels(preview_sheet(one, num_frames=3, cell_width=97, quality=95))
    height = round(97 * 107 / 149)
    assert sheet.shape == (3 * (height + 2) - 2, 3 * (97 + 2) - 2, 3)
    small = one.select([0, 6, 12]).resize(height, 97).video.permute(0, 2, 3, 1).numpy()
    for column in range(3):
        left = column * 99
        assert np.abs(sheet[:height, left : left + 97] - small[column]).mean() < 4
        marked = sheet[height + 2 : 2 * height + 2, left : left + 97]
        assert np.abs(marked - small[column]).max() > 80, "outlines and tracks"
    assert (sheet[height : height + 2, :97] > 230).all(), "a white line between"


def test_rows_of_what_is_missing_are_left_out() -> None:
    one = recording()
    bare = replace(
        one,
        cameras=None,
        depth=None,
        depth_mask=None,
        dynamic_mask=None,
        tracks=None,
        visible=None,
        track_pixels=None,
    )
    assert pixels(preview_sheet(bare, num_frames=2, cell_width=29)).shape == (21, 60, 3)
    assert pixels(preview_sheet(one.select([4]), cell_width=29)).shape == (3 * 23 - 2, 29, 3)


def test_values_that_are_none_are_drawn_as_nothing() -> None:
    one = recording()
    depth, tracks = one.depth.clone(), one.tracks.clone()
    depth[:, :50], depth[0, 60, 60], tracks[3] = 0, torch.inf, torch.nan
    odd = replace(one, depth=depth, tracks=tracks, track_pixels=one.track_pixels.clone().fill_(torch.nan))
    sheet = pixels(preview_sheet(odd, num_frames=1, cell_width=149, quality=95))
    assert sheet[218 + 5 : 218 + 45, 5:-5].max() < 12, "unknown depth is black"
    assert sheet[218 + 60 :].max() > 60
    no_pixels = replace(odd, track_pixels=None)
    assert preview_sheet(no_pixels, num_frames=2) != preview_sheet(odd, num_frames=2)
    assert preview_sheet(odd) == preview_sheet(odd)


def test_what_cannot_be_is_refused() -> None:
    for options in ({"num_frames": 0}, {"cell_width": 3}, {"quality": 100}):
        with pytest.raises(ValueError, match=next(iter(options))):
            preview_sheet(recording(), **options)
