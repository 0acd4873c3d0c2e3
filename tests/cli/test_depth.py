"""`--depth` of `diff4splat generate`: what is wrong with it is said before a model is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cli.shown import error_of
from PIL import Image

from diff4splat.cli import main
from diff4splat.cli.depth import load_depth_prior
from diff4splat.pipelines import Diff4SplatPipeline


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--depth", "none.png"], "none.png: no such file"),
        (["--depth", "photo.png"], "must have one channel of 16 bits or floating point, got mode 'RGB'"),
        (["--depth", "empty.npy"], "depth must be known at 64 pixels or more, got 0"),
        (["--depth", "words.txt"], "a depth file must end in .npy, .npz, .png, .tif, .tiff, got '.txt'"),
        (["--depth", "some/model", "--depth-kind", "metric"], "--depth-kind is for files, got the model"),
        (
            ["--depth-kind", "relative"],
            "--depth-kind says what --depth means, got relative alone",
        ),
    ],
)
def test_refused_before_the_model_is_loaded(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", lambda *_: pytest.fail("the model is loaded"))
    Image.new("RGB", (46, 34)).save("photo.png")
    np.save("empty.npy", np.zeros((34, 46), np.float32))
    Path("words.txt").write_text("hello")
    assert main(["generate", "photo.png", *words, "-o", "out"]) == 2
    assert message in error_of(capsys)
    assert not Path("out").exists()


def test_files_of_depth(tmp_path: Path) -> None:
    millimetres = np.arange(1000, 1000 + 11 * 13, dtype=np.uint16).reshape(11, 13)
    Image.fromarray(millimetres).save(tmp_path / "a.png")
    given = str(tmp_path / "a.png"), tmp_path / "photo.jpg", torch.device("cpu")
    prior = load_depth_prior(given[0], None, *given[1:])
    assert prior.kind == "metric"
    np.testing.assert_allclose(prior.depth.numpy(), millimetres / 1000, rtol=1e-6)
    assert load_depth_prior(given[0], "disparity", *given[1:]).kind == "disparity"
