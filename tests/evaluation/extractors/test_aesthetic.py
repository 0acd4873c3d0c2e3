"""Heads of aesthetic predictors, in the layouts of the two files that are in use."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from diff4splat.evaluation import load_aesthetic_weights

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
    loaded = load_aesthetic_weights(path)
    features = torch.randn(13, 23)
    with torch.no_grad():
        expected = head.double().layers(features.double())[:, 0]
    torch.testing.assert_close(features.double() @ loaded.weight + loaded.bias, expected, atol=1e-12, rtol=0)
    assert loaded.spec.name == "improved aesthetic predictor" and loaded.spec.licence == "Apache-2.0"
    assert loaded.spec.layer == "linear layers 23 to 11 to 7 to 5 to 3 to 1"
    assert loaded.spec.weights == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_the_layer_of_laion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(23, 1)
    torch.save(layer.state_dict(), tmp_path / "sa_0_4_vit_l_14_linear.pth")
    loaded = load_aesthetic_weights(tmp_path / "sa_0_4_vit_l_14_linear.pth")
    assert torch.equal(loaded.weight, layer.weight.detach()[0].double())
    assert loaded.bias == layer.bias.item()
    assert loaded.spec.name == "LAION aesthetic predictor" and loaded.spec.licence == "MIT"


def test_a_folder_holds_the_improved_predictor_by_its_name(tmp_path: Path) -> None:
    torch.save(improved().state_dict(), tmp_path / "aesthetic-model.pth")
    spec = load_aesthetic_weights(tmp_path).spec
    torch.save(improved(seed=1).state_dict(), tmp_path / "aesthetic-model.pth")
    assert load_aesthetic_weights(tmp_path).spec.key != spec.key


def test_a_head_with_activations_is_not_folded(tmp_path: Path) -> None:
    """Pitfall: the files with ReLUs have the same shapes; only the numbers of the layers tell them apart."""
    state = improved().state_dict()
    moved = {"0": "0", "2": "3", "4": "6", "6": "9", "7": "11"}
    relu = {
        f"layers.{moved[name.split('.')[1]]}.{name.split('.')[2]}": value for name, value in state.items()
    }
    torch.save(relu, tmp_path / "relu.pth")
    with pytest.raises(ValueError, match=r"relu\.pth must hold the layers.*activations in between"):
        load_aesthetic_weights(tmp_path / "relu.pth")


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
        load_aesthetic_weights(tmp_path / "head.pth")


def test_layers_that_do_not_follow_each_other_are_refused(tmp_path: Path) -> None:
    state = improved().state_dict()
    state["layers.2.weight"] = torch.zeros(7, 13)
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"got \(11, 23\), \(7, 13\)"):
        load_aesthetic_weights(tmp_path / "head.pth")


def test_a_pickle_with_code_does_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weight": Code()}, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"head\.pth is no file of weights alone"):
        load_aesthetic_weights(tmp_path / "head.pth")
    assert not (tmp_path / "ran").exists()


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"text\.pth is no file of weights alone"):
        load_aesthetic_weights(tmp_path / "text.pth")
    with pytest.raises(FileNotFoundError, match=r"fetch aesthetic-model\.pth from .*licence: Apache-2.0"):
        load_aesthetic_weights(tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match="hf download trl-lib/ddpo-aesthetic-predictor"):
        load_aesthetic_weights(local_files_only=True)
