"""Our files through a program of others, npm @playcanvas/splat-transform, whose numbers must be ours.

It is looked for where the environment variable SPLAT_TRANSFORM says, then on the PATH; nothing is downloaded.
To have it: `npm install --prefix FOLDER @playcanvas/splat-transform@2.7.1`, which needs Node 20, and
`SPLAT_TRANSFORM=FOLDER/node_modules/.bin/splat-transform`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from assets.splat_scenes import COUNT, NAMES, decibels, from_numpy, moving_scene
from reference.assets_splats import read_glb, read_ply, read_splat

from diff4splat.assets import load_ply, save_glb, save_ply, save_ply_sequence, save_splat

PROGRAM = os.environ.get("SPLAT_TRANSFORM") or shutil.which("splat-transform")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="splat-transform (npm) is neither named by SPLAT_TRANSFORM nor on the PATH"
)


def convert(source: Path, target: Path) -> Path:
    subprocess.run([PROGRAM, "-w", "-q", str(source), str(target)], check=True, timeout=120)
    return target


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns as the program prints them."""
    names, *rows = path.read_text().splitlines()
    table = np.array([[float(word) for word in row.split(",")] for row in rows])
    return dict(zip(names.split(","), table.T, strict=True))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_it_reads_every_number_of_our_ply(tmp_path, degree):
    gaussians = moving_scene(degree).at(0.7)
    save_ply(gaussians, tmp_path / "in.ply", provenance={"prompt": "a\nb"})
    columns = read_csv(convert(tmp_path / "in.ply", tmp_path / "out.csv"))
    harmonics = gaussians.harmonics.double().numpy()
    number = (degree + 1) ** 2 - 1
    expected = {name: gaussians.means[:, index] for index, name in enumerate("xyz")}
    expected |= {f"scale_{index}": gaussians.scales[:, index].double().log() for index in range(3)}
    expected |= {f"rot_{index}": gaussians.quaternions[:, index] for index in range(4)}
    expected |= {"opacity": gaussians.opacities.double().logit()}
    expected |= {f"f_dc_{channel}": harmonics[:, 0, channel] for channel in range(3)}
    expected |= {
        f"f_rest_{channel * number + index}": harmonics[:, 1 + index, channel]
        for channel in range(3)
        for index in range(number)
    }
    assert set(expected) == {name for name in columns if not name.startswith("n")}
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=2e-6, atol=3e-7, err_msg=name)


def test_what_it_writes_we_read_back_to_the_last_bit(tmp_path):
    save_ply(moving_scene(3).at(0.7), tmp_path / "in.ply")
    again = load_ply(convert(tmp_path / "in.ply", tmp_path / "out.ply"))
    for name in NAMES:
        assert torch.equal(getattr(again, name), getattr(load_ply(tmp_path / "in.ply"), name))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_its_glb_of_our_ply_is_our_glb(tmp_path, degree):
    gaussians = moving_scene(degree).at(0.7)
    save_ply(gaussians, tmp_path / "in.ply")
    save_glb(gaussians, tmp_path / "ours.glb")
    theirs, _, their_file = read_glb(convert(tmp_path / "in.ply", tmp_path / "theirs.glb"))
    ours, _, our_file = read_glb(tmp_path / "ours.glb")
    signs = np.sign((ours["quaternions"] * theirs["quaternions"]).sum(-1, keepdims=True))
    theirs["quaternions"] = signs * theirs["quaternions"]
    for name in NAMES:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-6, atol=1e-6, err_msg=name)
    extensions = [
        file.meshes[0].primitives[0].extensions["KHR_gaussian_splatting"] for file in (our_file, their_file)
    ]
    assert extensions[0]["kernel"] == extensions[1]["kernel"]
    assert extensions[0]["colorSpace"] == extensions[1]["colorSpace"]


def test_it_reads_our_splat_as_we_do(tmp_path):
    save_splat(moving_scene(0).at(0.7), tmp_path / "in.splat")
    columns = read_csv(convert(tmp_path / "in.splat", tmp_path / "out.csv"))
    found = read_splat(tmp_path / "in.splat")
    for index, name in enumerate("xyz"):
        np.testing.assert_allclose(columns[name], found["means"][:, index], rtol=1e-6)
    for index in range(3):
        np.testing.assert_allclose(np.exp(columns[f"scale_{index}"]), found["scales"][:, index], rtol=1e-5)
        np.testing.assert_allclose(columns[f"f_dc_{index}"], found["harmonics"][:, 0, index], atol=1e-5)
    quaternions = np.stack([columns[f"rot_{index}"] for index in range(4)], axis=1)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    # It reads a byte as 2 u / 255 - 1, writers mean u / 128 - 1: the two differ by half a step at most.
    np.testing.assert_allclose(np.abs((quaternions * found["quaternions"]).sum(-1)), 1, atol=1e-4)
    np.testing.assert_allclose(1 / (1 + np.exp(-columns["opacity"])), found["opacities"], atol=1e-3)


@pytest.mark.parametrize(("suffix", "least"), [(".compressed.ply", 30.0), (".spz", 30.0)])
def test_a_frame_of_a_sequence_survives_its_small_formats(tmp_path, suffix, least):
    field = moving_scene(0)
    save_ply_sequence(field, tmp_path / "frames")
    small = convert(tmp_path / "frames" / "frame_00001.ply", tmp_path / f"small{suffix}")
    back = read_ply(convert(small, tmp_path / "back.ply"))
    assert len(back["means"]) == COUNT
    # Neither format keeps the order; the picture does not depend on it.
    assert decibels(from_numpy(back), field.at(0.375)) > least
    if suffix == ".compressed.ply":
        with pytest.raises(ValueError, match="compressed PLY; convert it first"):
            load_ply(small)
