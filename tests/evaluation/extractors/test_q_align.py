"""The question that Q-Align is asked, with a model that answers by a rule."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.extractors.tiny_networks import noise
from PIL import Image
from torch import nn

from diff4splat.evaluation import QAlignLevels
from diff4splat.evaluation.extractors import LevelLogits

MEAN = (0.48145466, 0.4578275, 0.40821073)


class Tokenizer:
    """One token per word, after a token for the beginning, as LLaMA's."""

    bos_token_id = 1

    def __call__(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[1, *(10 + len(word) for word in text.split())])


class Processor:
    """Keeps the pictures it is given."""

    image_mean = MEAN

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []

    def preprocess(self, pictures: list[Image.Image], return_tensors: str) -> dict[str, torch.Tensor]:
        self.pictures = pictures
        small = [np.asarray(picture.resize((7, 7))).transpose(2, 0, 1) / 255 for picture in pictures]
        return {"pixel_values": torch.from_numpy(np.stack(small))}


class Model(nn.Module):
    """Its logit of token n at the last place is n plus the mean of what it sees."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.tokenizer, self.image_processor = Tokenizer(), Processor()
        self.preferential_ids_ = [29, 23, 19, 5, 7]
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))
        self.tokens = torch.zeros(0)
        self.seen = torch.zeros(0)

    def forward(self, input_ids: torch.Tensor, images: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        self.tokens, (self.seen,) = input_ids, images
        logits = torch.zeros(1, input_ids.shape[1], 31)
        logits[0, -1] = torch.arange(31) + images[0].float().mean()
        return {"logits": logits}


def test_the_five_logits_in_their_order() -> None:
    model = Model()
    levels = QAlignLevels(model)
    frames = noise(3, 3, 13, 13)
    assert isinstance(levels, LevelLogits)
    expected = torch.tensor([29.0, 23, 19, 5, 7]) + model_mean(frames)
    torch.testing.assert_close(levels(frames), expected, atol=0.01, rtol=0)


def model_mean(frames: torch.Tensor) -> float:
    small = [np.asarray(Image.fromarray(f.permute(1, 2, 0).numpy()).resize((7, 7))) for f in frames]
    return float(np.stack(small).mean() / 255)


def test_the_question_has_the_mark_of_the_frames_and_one_beginning() -> None:
    model = Model()
    QAlignLevels(model)(noise(3, 3, 13, 13))
    before = [10 + len(word) for word in "USER: How would you rate the quality of this video?".split()]
    after = [10 + len(word) for word in "ASSISTANT: The quality of the video is".split()]
    assert model.tokens.tolist() == [[1, *before, -200, *after]]


@pytest.mark.parametrize(("height", "width"), [(13, 29), (29, 13), (13, 14)])
def test_frames_are_padded_to_squares_with_the_mean_colour(height: int, width: int) -> None:
    model, frames = Model(), noise(1, 3, height, width)
    QAlignLevels(model)(frames)
    (picture,) = model.image_processor.pictures
    side = max(height, width)
    expected = Image.new("RGB", (side, side), tuple(int(value * 255) for value in MEAN))
    own = Image.fromarray(frames[0].permute(1, 2, 0).numpy())
    expected.paste(own, ((side - width) // 2, (side - height) // 2))
    assert picture.size == (side, side)
    assert np.array_equal(np.asarray(picture), np.asarray(expected))


@pytest.mark.parametrize(
    ("count", "asked", "expected"), [(11, 3, [0, 5, 10]), (2, 8, [0, 1]), (5, 1, [0]), (8, 8, list(range(8)))]
)
def test_frames_are_taken_at_equal_distances(count: int, asked: int, expected: list[int]) -> None:
    model = Model()
    frames = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 5, 5)
    levels = QAlignLevels(model, num_frames=asked)
    levels(frames.contiguous())
    assert [picture.getpixel((2, 2))[0] for picture in model.image_processor.pictures] == expected
    assert f"{asked} frames at equal distances" in str(levels.spec)


def test_pixels_have_the_type_of_the_weights() -> None:
    model = Model(torch.float16)
    QAlignLevels(model)(noise(3, 3, 13, 13))
    assert model.seen.dtype == torch.float16


def test_the_licence_is_shown_and_weights_are_hashed() -> None:
    model = Model()
    spec = QAlignLevels(model).spec
    assert "non-commercial" in str(spec) and spec.weights.startswith("sha256:")
    with torch.no_grad():
        model.scale += 1
    assert QAlignLevels(model).spec.key != spec.key


def test_code_of_others_runs_only_if_asked_for() -> None:
    with pytest.raises(ValueError, match="non-commercial.*trust_remote_code=True.*load the model yourself"):
        QAlignLevels()
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        QAlignLevels("/no/such/folder")


def test_new_transformers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall: under transformers 5 code made for version 4 may run with random weights, without a word."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(transformers, "__version__", "5.0.0")
    with pytest.raises(ImportError, match=r"code is for 4\.36\.1, got 5\.0\.0.*transformers==4\.36\.1"):
        QAlignLevels(tmp_path, trust_remote_code=True)


def test_loading_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the class that loads replaced: what it is called with, and the hash of the files."""
    transformers = pytest.importorskip("transformers")
    calls: list[tuple[Path, dict[str, Any]]] = []

    def load(folder: Path, **options: Any) -> Model:
        calls.append((folder, options))
        return Model(options["torch_dtype"])

    monkeypatch.setattr(transformers, "__version__", "4.36.1")
    monkeypatch.setattr(
        transformers, "AutoModelForCausalLM", SimpleNamespace(from_pretrained=load), raising=False
    )
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"one")
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"two")
    first = QAlignLevels(tmp_path, trust_remote_code=True, device="cpu")
    assert first(noise(3, 3, 13, 13)).shape == (5,)
    assert calls == [
        (tmp_path, {"trust_remote_code": True, "torch_dtype": torch.float32, "local_files_only": True})
    ]
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"three")
    assert QAlignLevels(tmp_path, trust_remote_code=True, device="cpu").spec.key != first.spec.key
    with pytest.raises(FileNotFoundError, match="non-commercial"):
        QAlignLevels(tmp_path / "nowhere", trust_remote_code=True, device="cpu")


@pytest.mark.usefixtures("without_shape_checker")
def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="got a Linear without tokenizer, image_processor, preferential_ids_"):
        QAlignLevels(nn.Linear(2, 3))
    with pytest.raises(TypeError, match="got a int without"):
        QAlignLevels(3)
    with pytest.raises(ValueError, match="num_frames must be positive, got 0"):
        QAlignLevels(Model(), num_frames=0)
    with pytest.raises(ValueError, match="frames must be at least one"):
        QAlignLevels(Model())(torch.zeros(0, 3, 5, 5, dtype=torch.uint8))


def test_logits_must_be_five_and_finite() -> None:
    model = Model()
    model.preferential_ids_ = [1, 2, 3]
    with pytest.raises(ValueError, match="five finite logits"):
        QAlignLevels(model)(noise(3, 3, 13, 13))
