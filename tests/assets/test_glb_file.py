"""The container of a .glb: its limit, and that what does not fit leaves what was there."""

from pathlib import Path

import numpy as np
import pytest

from diff4splat.assets import glb_file
from diff4splat.assets.glb_file import linear_light, write_glb


def test_a_file_is_never_longer_than_its_header_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, arrays = tmp_path / "a.glb", {"POSITION": np.zeros((7, 3), dtype="<f4")}
    write_glb(path, arrays, {})
    length = path.stat().st_size
    monkeypatch.setattr(glb_file, "_LARGEST_FILE", length)
    write_glb(path, arrays, {})
    before = path.read_bytes()
    monkeypatch.setattr(glb_file, "_LARGEST_FILE", length - 1)
    with pytest.raises(ValueError, match=rf"must fit into 4 GiB, got {length} bytes for .*a\.glb"):
        write_glb(path, arrays, {})
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_srgb_is_decoded() -> None:
    got = linear_light(np.array([0.0, 0.04, 0.5, 1.0]))
    np.testing.assert_allclose(got, [0, 0.04 / 12.92, 0.21404114, 1], rtol=1e-7)
