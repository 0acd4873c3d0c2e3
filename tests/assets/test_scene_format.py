"""docs/scene_format.md lists what files hold: every header key and tensor, and nothing else."""

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from diff4splat.assets import read_field_header, save_field
from diff4splat.cameras import trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians

PAGE = (Path(__file__).parents[2] / "docs" / "scene_format.md").read_text()


def listed(title: str) -> set[str]:
    """Names in the first column of the first table after a heading."""
    part = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", part, flags=re.MULTILINE)
    rows = table[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.fixture(params=[False, True], ids=["exact", "compact"])
def path(request, tmp_path):
    gaussians = Gaussians(
        torch.rand(5, 3), torch.ones(5, 4), torch.ones(5, 3), torch.rand(5), torch.rand(5, 4, 3)
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    path = tmp_path / "scene.safetensors"
    save_field(field, path, cameras=trajectory.spiral(2, height=5, width=7), compact=request.param)
    return path


def test_page_lists_the_keys_of_the_header(path):
    keys = {*read_field_header(path)}
    assert keys <= listed("Header")
    optional = {"requires", "encodings", "error_bound"}
    assert listed("Header") - keys <= optional and len(keys & optional) in (0, 3)


def test_page_lists_the_tensors(path):
    with safe_open(path, framework="np") as file:
        names = {*file.keys()}
    motions = ("means", "rotation_vectors", "scales")
    compact = {name.replace(".M.", f".{motion}.") for name in listed("Compact files") for motion in motions}
    cameras = {"cameras.camera_to_world", "cameras.intrinsics"}
    is_compact = "requires" in read_field_header(path)
    assert names == (compact | cameras if is_compact else listed("Tensors of an exact file"))


def test_page_lists_the_error_bounds(path):
    bounds = read_field_header(path).get("error_bound")
    if bounds is not None:
        part = PAGE.partition("`error_bound` holds")[2].partition("\n\nBetween")[0]
        names = {
            name
            for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
            for name in re.findall("`(.*?)`", row)
        }
        assert names == {*bounds}
