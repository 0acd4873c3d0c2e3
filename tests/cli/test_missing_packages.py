"""Without an extra, a command that needs it says in one sentence what to install, and writes nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from assets.splat_scenes import moving_scene, some_cameras
from PIL import Image

from diff4splat.assets import save_field
from diff4splat.cli import main

DEPTH_MODEL = "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"
SIGN = ["--certificate", "chain.pem", "--private-key", "key.pem"]


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("viser", ["view", "scene.safetensors"], "viewer"),
        ("pxr", ["export", "scene.safetensors", "-o", "a.usdc"], "usd"),
        ("skimage", ["export", "scene.safetensors", "-o", "a.obj"], "mesh"),
        ("c2pa", ["export", "scene.safetensors", "-o", "a.mp4", *SIGN], "c2pa"),
        ("c2pa", ["render", "scene.safetensors", "-o", "a.mp4", *SIGN], "c2pa"),
        ("c2pa", ["generate", "photo.png", "-o", "out", *SIGN], "c2pa"),
        ("matplotlib", ["trajectory", "orbit", "--plot", "a.png"], "plot"),
        ("accelerate", ["train", "compact", "--workers", "0", "-o", "run", "--cache", "clips"], "train"),
        ("transformers", ["generate", "photo.png", "-o", "out", "--depth", DEPTH_MODEL], "diffusers"),
    ],
)
def test_one_sentence_names_the_extra(
    package: str,
    words: list[str],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_field(moving_scene(1), tmp_path / "scene.safetensors", cameras=some_cameras(5))
    Image.new("RGB", (31, 43)).save(tmp_path / "photo.png")
    for name in ("chain.pem", "key.pem"):
        (tmp_path / name).write_text("-----BEGIN NOTHING-----")
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(package, list(sys.meta_path))])
    assert main(words) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diff4splat:")]
    assert len(error) == 1 and error[0].startswith("diff4splat: error: ")
    assert f"diff4splat[{extra}]" in error[0] and "pip install" in error[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("run", "clips")) == before


class Without:
    """The finders of modules as they are, for whom one package is not installed."""

    def __init__(self, package: str, finders: list[Any]) -> None:
        self.package = package
        self.finders = finders

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] == self.package:
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)
