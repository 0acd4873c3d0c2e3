"""The class token of a tiny vision transformer."""

from pathlib import Path

import pytest
import torch
from evaluation.extractors.tiny_networks import noise, save_clip, save_vit

from diff4splat.evaluation import DinoFeatures
from diff4splat.evaluation.extractors import FrameFeatures

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dino")
    save_vit(path)
    return path


def test_square_frames_are_those_of_the_model(folder: Path) -> None:
    """224 x 224 frames are not resized, so only the range is in between."""
    frames = noise(2, 3, 224, 224)
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (frames.double() / 255 - mean[:, None, None]) / deviation[:, None, None]
    with torch.no_grad():
        expected = model(pixel_values=pixels.float()).last_hidden_state[:, 0]
    found = DinoFeatures(folder)
    assert isinstance(found, FrameFeatures)
    torch.testing.assert_close(found(frames), expected, atol=1e-5, rtol=1e-4)


def test_the_sides_of_a_wide_frame_are_seen(folder: Path) -> None:
    """Pitfall: with a crop, as CLIP's, what happens at the sides would not count."""
    extractor = DinoFeatures(folder)
    frames = noise(1, 3, 45, 70).repeat(2, 1, 1, 1)
    frames[1, ..., :9] = 0
    first, second = extractor(frames)
    assert float((first - second).abs().max()) > 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_batch_size_does_not_matter(folder: Path, batch_size: int) -> None:
    frames = noise(3, 3, 45, 70)
    expected = DinoFeatures(folder)(frames)
    torch.testing.assert_close(
        DinoFeatures(folder, batch_size=batch_size)(frames), expected, atol=1e-5, rtol=1e-4
    )


def test_the_spec_knows_the_weights(folder: Path, tmp_path: Path) -> None:
    spec = DinoFeatures(folder).spec
    assert "class token" in str(spec) and "short side to 224, no crop" in str(spec)
    assert "bilinear without antialiasing, rounded to 8 bits" in str(spec) and spec.licence == "Apache-2.0"
    save_vit(tmp_path, seed=1)
    assert DinoFeatures(tmp_path).spec.key != spec.key


def test_wrong_and_missing_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="https://huggingface.co/facebook/dino-vitb16"):
        DinoFeatures(tmp_path)
    with pytest.raises(FileNotFoundError, match="Apache-2.0"):
        DinoFeatures(local_files_only=True)
    save_clip(tmp_path)
    with pytest.raises(ValueError, match="must hold a model of type 'vit', got 'clip'"):
        DinoFeatures(tmp_path)


def test_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="frames must be at least one"):
        DinoFeatures(folder)(torch.zeros(0, 3, 5, 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        DinoFeatures(folder, batch_size=0)
