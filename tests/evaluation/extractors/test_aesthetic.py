"""Heads of aesthetic predictors, in the layouts of the two files that are in use."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation.extractors.tiny_networks import noise, save_clip
from torch import nn

from diff4splat.evaluation import (
    AestheticHead,
    AestheticRatings,
    ClipEmbeddings,
    load_aesthetic_head,
    load_aesthetic_ratings,
)
from diff4splat.evaluation.extractors import ExtractorSpec, SeededFrameFeatures, suite

WIDTHS = (23, 11, 7, 5, 3, 1)


def improved(widths: tuple[int, ...] = WIDTHS, seed: int = 0) -> nn.Module:
    """Dropout after the first three layers, as in the improved aesthetic predictor."""
    torch.manual_seed(seed)
    a, b, c, d, e, f = widths
    dropout = nn.Dropout(0.2)
    layers = nn.Sequential(
        *(nn.Linear(a, b), dropout, nn.Linear(b, c), dropout, nn.Linear(c, d)),
        *(nn.Dropout(0.1), nn.Linear(d, e), nn.Linear(e, f)),
    )
    holder = nn.Module()
    holder.layers = layers
    return holder.eval()


def test_the_layers_of_the_improved_predictor_are_one_map(tmp_path: Path) -> None:
    head, path = improved(), tmp_path / "sac+logos+ava1-l14-linearMSE.pth"
    torch.save(head.state_dict(), path)
    loaded, spec = load_aesthetic_head(path)
    features = torch.randn(13, 23)
    with torch.no_grad():
        expected = head.double().layers(features.double())[:, 0]
    torch.testing.assert_close(features.double() @ loaded.weight + loaded.bias, expected, atol=1e-12, rtol=0)
    assert spec.name == "improved aesthetic predictor" and spec.licence == "Apache-2.0"
    assert spec.layer == "linear layers 23 to 11 to 7 to 5 to 3 to 1"
    assert spec.weights == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_the_layer_of_laion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(23, 1)
    torch.save(layer.state_dict(), tmp_path / "sa_0_4_vit_l_14_linear.pth")
    loaded, spec = load_aesthetic_head(tmp_path / "sa_0_4_vit_l_14_linear.pth")
    assert torch.equal(loaded.weight, layer.weight.detach()[0].double())
    assert loaded.bias == layer.bias.item()
    assert spec.name == "LAION aesthetic predictor" and spec.licence == "MIT"


def test_a_folder_holds_the_improved_predictor_by_its_name(tmp_path: Path) -> None:
    torch.save(improved().state_dict(), tmp_path / "aesthetic-model.pth")
    _, spec = load_aesthetic_head(tmp_path)
    torch.save(improved(seed=1).state_dict(), tmp_path / "aesthetic-model.pth")
    assert load_aesthetic_head(tmp_path)[1].key != spec.key


def test_a_head_with_activations_is_not_folded(tmp_path: Path) -> None:
    """Pitfall: the files with ReLUs have the same shapes; only the numbers of the layers tell them apart."""
    state = improved().state_dict()
    moved = {"0": "0", "2": "3", "4": "6", "6": "9", "7": "11"}
    relu = {
        f"layers.{moved[name.split('.')[1]]}.{name.split('.')[2]}": value for name, value in state.items()
    }
    torch.save(relu, tmp_path / "relu.pth")
    with pytest.raises(ValueError, match=r"relu\.pth must hold the layers.*activations in between"):
        load_aesthetic_head(tmp_path / "relu.pth")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "got nothing"),
        ({"weight": torch.zeros(1, 5)}, "got weight"),
        ({"weight": torch.zeros(2, 5), "bias": torch.zeros(2)}, r"end in one number, got \(2, 5\)"),
        ({"weight": torch.zeros(1, 5), "bias": torch.zeros(2)}, "finite layers that end in one number"),
        ({"weight": torch.full((1, 5), torch.nan), "bias": torch.zeros(1)}, "must hold finite layers"),
        ({"weight": torch.zeros(1, 5), "bias": 3.0}, "must hold tensors by name"),
        ([torch.zeros(3)], "must hold tensors by name, got a list"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, state: object, message: str) -> None:
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=message):
        load_aesthetic_head(tmp_path / "head.pth")


def test_layers_that_do_not_follow_each_other_are_refused(tmp_path: Path) -> None:
    state = improved().state_dict()
    state["layers.2.weight"] = torch.zeros(7, 13)
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"got \(11, 23\), \(7, 13\)"):
        load_aesthetic_head(tmp_path / "head.pth")


class Fixed:
    """Embeddings that are said beforehand."""

    spec = ExtractorSpec("fixed", "given", "none", "none", "MIT")

    def __init__(self, features: torch.Tensor) -> None:
        self.features = features

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return self.features


HEAD = AestheticHead(torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64), 5.0)
SPEC = ExtractorSpec("head", "layers", "", "h", "Apache-2.0")


def test_ratings_by_hand() -> None:
    """(3, 4, 0) has length 5: (2 * 3 + 3 * 4) / 5 + 5; ten times as long it is the same."""
    features = torch.tensor([[3.0, 4.0, 0.0], [30.0, 40.0, 0.0], [0.0, 0.0, -1.0]])
    ratings = AestheticRatings(Fixed(features), HEAD, SPEC)
    found = ratings(noise(3, 3, 5, 7))
    torch.testing.assert_close(found, torch.tensor([8.6, 8.6, 5.0], dtype=torch.float64))
    assert "head on fixed" in str(ratings.spec) and "licence MIT and Apache-2.0" in str(ratings.spec)


def test_a_drawn_head_on_trained_embeddings_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall: a number of drawn weights that a report takes for one of the literature."""

    class Learned(SeededFrameFeatures):
        @property
        def spec(self) -> ExtractorSpec:
            return replace(super().spec, trained=True)

    monkeypatch.setattr(suite, "SeededFrameFeatures", Learned)
    assert not suite._drawn_ratings().spec.trained


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.ones(1, 5), "the 3 features that the head takes, got 5"),
        (torch.zeros(1, 3), "finite and not zero"),
        (torch.full((1, 3), torch.nan), "finite and not zero"),
    ],
)
def test_embeddings_that_cannot_be_rated(features: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AestheticRatings(Fixed(features), HEAD, SPEC)(noise(1, 3, 5, 7))


def test_ratings_of_a_tiny_clip(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    save_clip(tmp_path / "clip")
    head = improved((11, 7, 5, 3, 2, 1))
    torch.save(head.state_dict(), tmp_path / "head.pth")
    ratings = load_aesthetic_ratings(tmp_path / "head.pth", clip=tmp_path / "clip")
    frames = noise(3, 3, 41, 53)
    embeddings = ClipEmbeddings(tmp_path / "clip")(frames)
    with torch.no_grad():
        expected = head.layers(torch.nn.functional.normalize(embeddings, dim=-1))[:, 0]
    torch.testing.assert_close(ratings(frames).float(), expected, atol=1e-5, rtol=0)


def test_a_pickle_with_code_does_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weight": Code()}, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"head\.pth is no file of weights alone"):
        load_aesthetic_head(tmp_path / "head.pth")
    assert not (tmp_path / "ran").exists()


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"text\.pth is no file of weights alone"):
        load_aesthetic_head(tmp_path / "text.pth")
    with pytest.raises(FileNotFoundError, match=r"fetch aesthetic-model\.pth from .*licence: Apache-2.0"):
        load_aesthetic_head(tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match="hf download trl-lib/ddpo-aesthetic-predictor"):
        load_aesthetic_head(local_files_only=True)
