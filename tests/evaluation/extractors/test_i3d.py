"""Features of clips by a tiny TorchScript network that is called as I3D is."""

from pathlib import Path

import pytest
import torch
from evaluation.extractors.tiny_networks import Plain, noise, save_i3d
from torch import nn

from diff4splat.evaluation import I3DFeatures
from diff4splat.evaluation.extractors import ClipFeatures


def clips(count: int = 5, frames: int = 11, seed: int = 0) -> torch.Tensor:
    return noise(count, frames, 3, 29, 37, seed=seed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_i3d(tmp_path / "i3d_torchscript.pt")
    return tmp_path / "i3d_torchscript.pt"


def test_the_file_s_own_resize_and_range_give_the_same(path: Path) -> None:
    """StyleGAN-V lets the file do both; its trilinear resize of 224 x 224 x T is bilinear in each frame."""
    network, frames = torch.jit.load(path), clips()
    video = frames.permute(0, 2, 1, 3, 4).float()
    with torch.no_grad():
        expected = network(video, rescale=True, resize=True, return_features=True)
    extractor = I3DFeatures(path)
    assert isinstance(extractor, ClipFeatures) and extractor.min_frames == 10
    torch.testing.assert_close(extractor(frames), expected, atol=1e-5, rtol=1e-4)


def test_features_come_before_the_softmax(path: Path) -> None:
    """Pitfall: without the flag the file returns probabilities."""
    assert not torch.allclose(I3DFeatures(path)(clips()).sum(1), torch.ones(5))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_batch_size_does_not_matter(path: Path, batch_size: int) -> None:
    expected = torch.cat([I3DFeatures(path)(clip[None]) for clip in clips()])
    found = I3DFeatures(path, batch_size=batch_size)(clips())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_order_of_frames_matters(path: Path) -> None:
    frames, extractor = clips(), I3DFeatures(path)
    assert not torch.allclose(extractor(frames), extractor(frames.flip(1)), atol=1e-3)


def test_a_folder_will_do_and_the_spec_knows_the_weights(path: Path, tmp_path: Path) -> None:
    import hashlib

    spec = I3DFeatures(tmp_path).spec
    assert spec == I3DFeatures(path).spec
    assert spec.weights == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert "224 x 224" in str(spec) and "without antialiasing" in str(spec) and "Apache-2.0" in str(spec)
    save_i3d(tmp_path / "other.pt", seed=1)
    assert I3DFeatures(tmp_path / "other.pt").spec.key != spec.key


def test_a_module_may_be_given() -> None:
    torch.manual_seed(0)
    module = Plain()
    extractor = I3DFeatures(module)
    video = torch.nn.functional.interpolate(
        clips().flatten(0, 1).float(), size=(224, 224), mode="bilinear", align_corners=False
    )
    video = (video / 127.5 - 1).unflatten(0, (5, 11)).permute(0, 2, 1, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(extractor(clips()), module(video), atol=1e-5, rtol=1e-4)
    assert extractor.spec.weights.startswith("sha256:") and extractor.spec.name == "Plain, given"
    before = extractor.spec.key
    with torch.no_grad():
        module.conv.bias[0] += 1
    assert I3DFeatures(module).spec.key != before


def test_too_few_frames(path: Path) -> None:
    with pytest.raises(ValueError, match="frames must be at least 10 per clip, got 9"):
        I3DFeatures(path)(clips(frames=9))
    with pytest.raises(ValueError, match="at least one clip"):
        I3DFeatures(path)(clips(count=0))


def test_what_is_no_torchscript(tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<!doctype html>")
    with pytest.raises(ValueError, match=r"page\.pt is no TorchScript file"):
        I3DFeatures(tmp_path / "page.pt")
    torch.save(Plain().state_dict(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"state\.pt is no TorchScript file"):
        I3DFeatures(tmp_path / "state.pt")


def test_a_torchscript_of_something_else(tmp_path: Path) -> None:
    torch.jit.script(Plain()).save(str(tmp_path / "plain.pt"))
    with pytest.raises(ValueError, match=r"does not take rescale, resize, return_features"):
        I3DFeatures(tmp_path / "plain.pt")


class Broken(nn.Module):
    def __init__(self, result: torch.Tensor) -> None:
        super().__init__()
        self.result = result

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.result


def test_output_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one vector for each of 2 clips, got \(2, 3, 5\)"):
        I3DFeatures(Broken(torch.zeros(2, 3, 5)))(clips(2))
    with pytest.raises(ValueError, match="finite numbers, got NaN"):
        I3DFeatures(Broken(torch.full((2, 3), torch.nan)))(clips(2))


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="i3d_torchscript.pt from https://huggingface.co/flateon"):
        I3DFeatures(tmp_path / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match="Apache-2.0.*give the path of i3d_torchscript.pt as source"):
        I3DFeatures(local_files_only=True)


@pytest.mark.usefixtures("without_shape_checker")
def test_arguments_are_checked(path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        I3DFeatures(path, batch_size=0)
    with pytest.raises(TypeError, match="source must be a path, a Hub id or a module, got int"):
        I3DFeatures(3)
    with pytest.raises(ValueError, match="revision must be None"):
        I3DFeatures(path, revision="main")
