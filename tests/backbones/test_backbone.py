"""Latent geometry, the protocol and the registry."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from diff4splat.backbones import LatentSpec, VideoBackbone, get_backbone, list_backbones, register_backbone
from diff4splat.backbones import backbone as registry

WAN = LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2)
COGVIDEOX = LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2, frame_multiple=8)
LTX = LatentSpec(channels=128, temporal_stride=8, spatial_stride=32)


class Still:
    """Smallest possible backbone."""

    spec = LatentSpec(channels=3, temporal_stride=1, spatial_stride=1)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def encode(self, video: Tensor) -> Tensor:
        return video

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def generate(
        self, image, cameras, prompt=None, *, num_steps, guidance=None, generator=None, callback=None
    ):
        return image[:, None].expand(-1, cameras.num_frames, -1, -1, -1)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))


@pytest.mark.parametrize(
    ("spec", "num_frames", "num_latents"),
    [(WAN, 1, 1), (WAN, 5, 2), (WAN, 81, 21), (COGVIDEOX, 9, 3), (COGVIDEOX, 49, 13), (LTX, 121, 16)],
)
def test_frames_and_latents_are_inverse(spec, num_frames, num_latents) -> None:
    assert spec.num_latents(num_frames) == num_latents
    assert spec.num_frames(num_latents) == num_frames


@pytest.mark.parametrize("spec", [WAN, COGVIDEOX, LTX])
def test_exactly_the_frame_counts_of_the_rule_are_valid(spec) -> None:
    valid = []
    for num_frames in range(-3, 60):
        try:
            spec.check_frames(num_frames)
            valid.append(num_frames)
        except ValueError:
            pass
    assert valid == list(range(1, 60, spec.frame_step))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WAN.check_frames(10), r"num_frames must be 4k\+1 .* got 10; nearest valid 9 or 13\."),
        (lambda: COGVIDEOX.check_frames(13), r"num_frames must be 8k\+1 .* got 13; nearest valid 9 or 17\."),
        (lambda: WAN.check_frames(0), r"got 0; nearest valid 1\."),
        (lambda: WAN.num_latents(6), r"got 6; nearest valid 5 or 9"),
        (lambda: WAN.num_frames(0), "num_latents must be >= 1, got 0"),
        (lambda: COGVIDEOX.num_frames(4), r"num_latents must be 2k\+1 .* got 4; nearest valid 3 or 5"),
        (
            lambda: WAN.check_size(45, 64),
            r"height must be a multiple of 16 .* got 45; nearest valid 32 or 48",
        ),
        (lambda: WAN.check_size(64, 7), r"width must be a multiple of 16 .* got 7; nearest valid 16\."),
        (lambda: WAN.check_size(0, 64), r"height must be .* got 0; nearest valid 16\."),
        (lambda: WAN.latent_size(64, 65), "width must be a multiple of 16"),
        (lambda: LatentSpec(0, 4, 8), "channels must be >= 1, got 0"),
        (lambda: LatentSpec(16, 4, 8, patch=0), "patch must be >= 1, got 0"),
        (
            lambda: LatentSpec(16, 4, 8, frame_multiple=6),
            "frame_multiple must be a positive multiple of temporal_stride=4, got 6",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_latent_size_and_shape() -> None:
    assert WAN.pixel_multiple == 16
    assert WAN.latent_size(480, 832) == (60, 104)
    assert WAN.latent_shape(81, 480, 832) == (21, 16, 60, 104)
    assert LTX.latent_shape(9, 64, 96) == (2, 128, 2, 3)


def test_protocol_is_recognised() -> None:
    assert isinstance(Still(), VideoBackbone)
    assert not isinstance(torch.nn.Linear(2, 3), VideoBackbone)


def test_register_and_get() -> None:
    register_backbone("still", Still)
    assert "still" in list_backbones()
    backbone = get_backbone("still", gain=3.0)
    assert isinstance(backbone, Still)
    assert backbone.gain == 3.0


def test_import_string_is_followed_when_asked(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_a_user.py").write_text(
        "class Maker:\n    @staticmethod\n    def make(a):\n        return a\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    register_backbone("plugin", "plugin_of_a_user:Maker.make")
    assert "plugin_of_a_user" not in sys.modules
    still = Still()
    assert get_backbone("plugin", a=still) is still


def test_taken_names_are_kept_unless_replaced() -> None:
    register_backbone("still", Still)
    register_backbone("still", Still)  # importing a module twice does no harm
    with pytest.raises(ValueError, match="'still' is already registered; pass replace=True"):
        register_backbone("still", lambda: Still(2.0))
    register_backbone("still", lambda: Still(2.0), replace=True)
    assert get_backbone("still").gain == 2.0


def test_registry_errors() -> None:
    with pytest.raises(ValueError, match=r"unknown backbone 'nothing', expected one of \[.*'compact'"):
        get_backbone("nothing")
    with pytest.raises(ValueError, match="name must not be empty"):
        register_backbone("", Still)
    for factory in ("no_colon", ":attribute", "module:"):
        with pytest.raises(ValueError, match="factory must look like 'package.module:attribute'"):
            register_backbone("other", factory)


def test_compact_is_known_but_not_loaded() -> None:
    code = (
        "import sys; from diff4splat.backbones import list_backbones; assert 'compact' in list_backbones();"
        "assert 'diff4splat.backbones.compact' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
