"""Scores of quality from logits and from embeddings."""

import math

import pytest
import torch

from diff4splat.evaluation import AestheticHead, aesthetic_scores, fold_linear_layers, level_score

SCALES = {"zero_to_one": (0.0, 1.0), "one_to_five": (1.0, 5.0), "zero_to_five": (0.0, 5.0)}


@pytest.mark.parametrize("scale", SCALES)
def test_a_certain_level_is_its_number_and_no_idea_is_the_middle(scale) -> None:
    low, high = SCALES[scale]
    certain = torch.eye(5) * 1000  # excellent first
    expected = [high - (high - low) * i / 4 for i in range(5)]
    assert level_score(certain, scale=scale).tolist() == pytest.approx(expected)
    assert float(level_score(torch.zeros(5), scale=scale)) == pytest.approx((low + high) / 2)


def test_the_level_is_an_expectation() -> None:
    probabilities = [0.1, 0.2, 0.3, 0.15, 0.25]
    logits = torch.tensor([math.log(p) + 7 for p in probabilities], dtype=torch.float64)  # a shift is nothing
    expected = 5 * 0.1 + 4 * 0.2 + 3 * 0.3 + 2 * 0.15 + 1 * 0.25
    assert float(level_score(logits, scale="one_to_five")) == pytest.approx(expected, rel=1e-12)
    unit = (expected - 1) / 4
    assert float(level_score(logits, scale="zero_to_one")) == pytest.approx(unit, rel=1e-12)
    # pitfall: "0 to 5" is not 1 to 5
    assert float(level_score(logits, scale="zero_to_five")) == pytest.approx(5 * unit, rel=1e-12)


def test_levels_of_a_batch_in_float64() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    scores = level_score(logits, scale="zero_to_one")
    assert scores.shape == (2, 3) and scores.dtype == torch.float64
    assert float(scores[1, 2]) == float(level_score(logits[1, 2], scale="zero_to_one"))


def test_bad_levels_are_named() -> None:
    with pytest.raises(ValueError, match="logits must be finite"):
        level_score(torch.tensor([0.0, 1, 2, math.nan, 3]), scale="zero_to_one")


def test_an_unknown_scale_is_named(monkeypatch) -> None:
    from diff4splat.evaluation.metrics import quality

    plain = getattr(quality.level_score, "__wrapped__", quality.level_score)
    with pytest.raises(ValueError, match="scale must be one of zero_to_one.*got 'ten'"):
        plain(torch.zeros(5), scale="ten")


def test_aesthetic_scores_are_affine_on_unit_vectors() -> None:
    head = AestheticHead(torch.tensor([1.0, -2.0]), 5.0)
    features = torch.tensor([[3.0, 4.0], [0.0, 0.1], [-7.0, 0.0]])
    assert aesthetic_scores(features, head).tolist() == pytest.approx([5 + 0.6 - 1.6, 3.0, 4.0])
    # pitfall: without normalising, the length of an embedding would count
    assert aesthetic_scores(10 * features, head).tolist() == pytest.approx([4.0, 3.0, 4.0])
    assert aesthetic_scores(features[0], head).shape == ()


def test_layers_without_activations_fold_to_one() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Linear(a, b).double() for a, b in ((13, 11), (11, 7), (7, 5), (5, 1))]
    network = torch.nn.Sequential(*layers)
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    matrix, bias = fold_linear_layers(weights, biases)
    assert matrix.shape == (1, 13) and not matrix.requires_grad
    x = torch.randn(17, 13, dtype=torch.float64)
    torch.testing.assert_close(x @ matrix.T + bias, network(x).detach())
    head = AestheticHead.from_linear_layers(weights, biases)
    unit = torch.nn.functional.normalize(x, dim=-1)
    torch.testing.assert_close(aesthetic_scores(x, head), network(unit)[:, 0].detach())


def test_one_layer_folds_to_itself() -> None:
    weight, bias = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0, 6.0])
    matrix, summand = fold_linear_layers([weight], [bias])
    assert matrix.tolist() == weight.tolist() and summand.tolist() == bias.tolist()


def test_bad_heads_and_layers_are_named() -> None:
    head = AestheticHead(torch.ones(3), 0.0)
    with pytest.raises(ValueError, match="features must have the 3 numbers that head takes, got 2"):
        aesthetic_scores(torch.ones(5, 2), head)
    with pytest.raises(ValueError, match="features must be finite and not zero"):
        aesthetic_scores(torch.zeros(5, 3), head)
    with pytest.raises(ValueError, match="features must be finite and not zero"):
        aesthetic_scores(torch.full((5, 3), math.nan), head)
    two, three = torch.ones(2, 3), torch.ones(1, 2)
    with pytest.raises(ValueError, match="as many, at least 1, got 0 and 0"):
        fold_linear_layers([], [])
    with pytest.raises(ValueError, match="as many, at least 1, got 2 and 1"):
        fold_linear_layers([two, three], [torch.ones(2)])
    with pytest.raises(ValueError, match=r"weights\[1\] must have 2 inputs, got shape \(2, 3\)"):
        fold_linear_layers([two, two], [torch.ones(2)] * 2)
    with pytest.raises(ValueError, match=r"weights\[0\] must have two axes"):
        fold_linear_layers([torch.ones(3)], [torch.ones(1)])
    with pytest.raises(ValueError, match=r"biases\[1\] must be of shape \(1,\), got \(2,\)"):
        fold_linear_layers([two, three], [torch.ones(2)] * 2)
    with pytest.raises(ValueError, match="must end in one number, got 2"):
        AestheticHead.from_linear_layers([two], [torch.ones(2)])


@pytest.mark.parametrize("shape", [(), (4,), (5, 4)])
def test_there_are_five_words(shape, without_shape_checker) -> None:
    with pytest.raises(ValueError, match="logits must be of five words, got shape"):
        level_score(torch.zeros(shape), scale="one_to_five")
