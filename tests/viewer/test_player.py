"""The text of the page, and what is refused; what it does in a browser is tested in test_page_*.py."""

import json
import re

import pytest
import torch
from viewer.scenes import sideways

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.viewer import player_html, save_player


def header(player: str) -> dict:
    return json.loads(re.search(r'id="scene">([^<]*)<', player)[1])


def test_without_cameras_the_scene_is_in_view(field):
    def first(player: str) -> list[float]:
        return header(player)["cameras"]["frames"][0]

    assert first(player_html(field))[:3] == [0, 0, 0]  # the scene lies before the origin
    moved = DeformableGaussianField.from_gaussians(
        Gaussians(
            field.canonical.means - torch.tensor([0.0, 0.0, 3.5]),
            *(getattr(field.canonical, name) for name in ("quaternions", "scales", "opacities", "harmonics")),
        ),
        field.times,
    )
    assert first(player_html(moved))[2] < -3  # around the origin: seen from further back


def test_errors(field, tmp_path):
    cameras = sideways()
    with pytest.raises(ValueError, match="seconds"):
        player_html(field, seconds=0.0)
    with pytest.raises(ValueError, match="background"):
        player_html(field, background=(0.0, 0.0, 2.0))
    batch = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], height=9, width=16)
    with pytest.raises(ValueError, match="batch"):
        player_html(field, cameras=batch)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_player(field, tmp_path / "none" / "player.html")


def test_a_failed_export_leaves_the_former_page(field, tmp_path):
    path = tmp_path / "player.html"
    path.write_text("former")
    field = DeformableGaussianField(
        field.canonical,
        field.times,
        field.delta_means * torch.nan,
        field.delta_quaternions,
        field.delta_scales,
    )
    with pytest.raises(ValueError, match="delta_means"):
        save_player(field, path)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


def test_sources_are_readable(field):
    """No build step: the page holds the files of the package as they are, each short enough to read."""
    from importlib.resources import files

    player = player_html(field)
    for source in files("diff4splat.viewer").joinpath("page").iterdir():
        text = source.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 400
        assert max(map(len, text.splitlines())) < 400 or source.name == "player.html"
        if source.name.endswith((".js", ".css")):
            assert text in player
