"""From a photograph to an edited, marked video, by the commands that docs/quickstart.md tells a newcomer."""

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from jaxtyping import config
from plyfile import PlyData
from viewer.browser import Browser
from viewer.pictures import psnr

from diff4splat import render
from diff4splat.assets import load_field, load_scene, load_video
from diff4splat.cameras import trajectory
from diff4splat.cli import GENERATED_FILES, main

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
TITLE = "From a photograph to an edited, marked video"


def steps() -> list[tuple[str, str]]:
    """Language and text of the blocks of that section, from top to bottom."""
    page = (ROOT / "docs" / "quickstart.md").read_text()
    section = re.search(rf"^## {TITLE}\n(.*?)^## ", page, flags=re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^```(\w+)\n(.*?)^```$", section[1], flags=re.MULTILINE | re.DOTALL)


class Trip(NamedTuple):
    """Where all was written, and what each step said."""

    folder: Path
    said: dict[str, str]


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    folder, said = tmp_path_factory.mktemp("newcomer"), {}
    shutil.copytree(ROOT / "examples" / "photos", folder / "examples" / "photos")
    config.update("jaxtyping_disable", True)  # users run without the shape checker
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for language, text in steps():
                for line in [text] if language == "py" else text.splitlines():
                    said |= do(language, line)
    finally:
        config.update("jaxtyping_disable", False)
    yield Trip(folder, said)
    shutil.rmtree(folder)


def do(language: str, text: str) -> dict[str, str]:
    """What a step of the page prints, by the name of its command."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if language == "py":
            exec(compile(text, "docs/quickstart.md", "exec"), {})
            return {"python": printed.getvalue()}
        program, *words = shlex.split(text)
        assert (program, main(words)) == ("diff4splat", 0), text
    return {words[0]: printed.getvalue()}


def test_the_page_goes_all_the_way(trip: Trip) -> None:
    way = ["generate", "export", "python", "inspect", "edit", "render", "detect-watermark"]
    assert list(trip.said) == way
    assert all((trip.folder / "out" / name).stat().st_size > 0 for name in GENERATED_FILES)
    assert "video.mp4 and novel_view.mp4 are marked as generated" in trip.said["generate"]


@pytest.mark.browser
def test_the_player_draws_the_scene(trip: Trip, browser: Browser) -> None:
    page = browser.open(trip.folder / "out" / "player.html")
    page.evaluate("diff4splat.ready")
    page.settle()
    assert page.complaints() == [] and page.requests() == [page.url]
    assert len(np.unique((page.canvas() * 255).round().reshape(-1, 3), axis=0)) > 1000
    page.close()


def test_another_program_reads_the_moments(trip: Trip) -> None:
    scene = load_field(trip.folder / "out" / "scene.safetensors")
    files = sorted((trip.folder / "frames").glob("*.ply"))
    assert len(files) == len(scene.times) == 9
    for file, time in zip(files, scene.times, strict=True):
        vertices, expected = PlyData.read(str(file))["vertex"], scene.at(float(time))
        means = np.stack([vertices[axis] for axis in "xyz"], axis=1)
        np.testing.assert_allclose(means, expected.means.numpy(), atol=1e-6)
        opacities = 1 / (1 + np.exp(-np.float64(vertices["opacity"])))
        np.testing.assert_allclose(opacities, expected.opacities.numpy(), atol=1e-6)
        scales = np.exp([vertices[f"scale_{axis}"] for axis in range(3)]).T
        np.testing.assert_allclose(scales, expected.scales.numpy(), rtol=1e-5)
    assert trip.said["python"].startswith(f"{len(means)} Gaussians, which hold ('x', 'y', 'z'")


@pytest.mark.usefixtures("without_shape_checker")
def test_what_comes_back_looks_the_same(trip: Trip) -> None:
    scene, again = load_field(trip.folder / "out" / "scene.safetensors"), load_scene(trip.folder / "frames")
    cameras = trajectory.spiral(3, height=128, width=128)
    for time in (0.0, 0.37, 1.0):
        before, after = (render(field.at(time), cameras).color.numpy() for field in (scene, again))
        assert psnr(before, after) >= 45
    assert f"count             {scene.canonical.num_gaussians}\n" in trip.said["inspect"]


def test_the_edit_is_done_and_told(trip: Trip) -> None:
    scene, edited = (
        load_field(trip.folder / name) for name in ("out/scene.safetensors", "edited.safetensors")
    )
    assert edited.canonical.num_gaussians < scene.canonical.num_gaussians
    first, middle, last = (edited.at(time).means for time in (0.0, 0.5, 1.0))
    torch.testing.assert_close(first, last)
    assert (first - middle).norm(dim=-1).max() > 0.1
    assert len(edited.metadata["edits"]) == 2 and edited.metadata["image"] == "coffee.jpg"


def test_the_video_says_what_it_is(trip: Trip) -> None:
    edited, first = (load_video(trip.folder / name) for name in ("edited.mp4", "out/video.mp4"))
    assert edited.shape == first.shape
    assert "edited.mp4 is marked as generated" in trip.said["render"]
    assert trip.said["detect-watermark"].startswith("edited.mp4: marked as generated\n")
    assert "made from the scene  yes\n" in trip.said["detect-watermark"]
