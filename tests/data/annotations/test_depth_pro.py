"""Depth Pro's npz, with and without the focal length."""

from pathlib import Path

import numpy as np
import pytest
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES

from diff4splat.data import load_annotation


@pytest.mark.parametrize("has_lens", [True, False])
def test_depth_and_lens_come_back(tmp_path: Path, has_lens: bool) -> None:
    for frame in range(FRAMES):
        depth = np.where(TRUTH.depth[frame] > 0, TRUTH.depth[frame], 1e4).astype(np.float32)  # its limit
        lens = {"focallength_px": np.array(30.0, np.float32)} if has_lens else {}
        written.save(tmp_path / "a b" / f"{frame}.npz", depth=depth, **lens)
    annotation = load_annotation(tmp_path / "a b")
    assert (annotation.source, annotation.unit) == ("depth-pro", "metre")
    assert np.array_equal(annotation.depth_mask, TRUTH.depth > 0), "10 km is the sky"
    np.testing.assert_allclose(annotation.depth, TRUTH.depth, rtol=1e-6)
    if has_lens:
        np.testing.assert_allclose(annotation.intrinsics[3], TRUTH.intrinsics, rtol=1e-6)
    else:
        assert annotation.holds == {"depth"}


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    written.save(tmp_path / "0.npz", depth=np.ones((3, 5)), focallength_px=-1.0)
    with pytest.raises(ValueError, match="focallength_px above 0"):
        load_annotation(tmp_path)
    written.save(tmp_path / "1.npz", depth=np.ones((3, 5)))
    with pytest.raises(ValueError, match="focallength_px in every file or in none, 1.npz differs"):
        load_annotation(tmp_path)
    written.save(tmp_path / "0.npz", depth=np.ones(5))
    with pytest.raises(ValueError, match=r"0.npz must hold depth of shape \[any, any, any\], got \[5\]"):
        load_annotation(tmp_path)
    written.save(tmp_path / "0.npz", depth=np.ones((3, 5), complex))
    with pytest.raises(ValueError, match="0.npz must hold numbers as depth"):
        load_annotation(tmp_path)
