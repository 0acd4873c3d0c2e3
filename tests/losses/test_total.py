import pytest
import torch

from diff4splat.losses import PAPER_WEIGHTS, weighted_sum


def terms(*shape: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator, dtype=torch.float64) for name in PAPER_WEIGHTS}


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_sum_matches_the_loop(shape):
    losses = terms(*shape)
    weights = {name: 0.3 + 1.7 * number for number, name in enumerate(losses)}
    expected = torch.zeros(shape, dtype=torch.float64)
    for name in losses:
        expected += weights[name] * losses[name]
    torch.testing.assert_close(weighted_sum(losses, weights), expected)


def test_terms_of_the_paper_are_added_as_they_are():
    losses = terms(5)
    torch.testing.assert_close(weighted_sum(losses), sum(losses.values()))
    static = {name: losses[name] for name in ("photometric", "geometric")}
    torch.testing.assert_close(weighted_sum(static), losses["photometric"] + losses["geometric"])


def test_gradient_of_a_term_is_its_weight():
    losses = {name: value.requires_grad_() for name, value in terms(3).items()}
    weights = {name: 1.5 + number for number, name in enumerate(losses)}
    weighted_sum(losses, weights).sum().backward()
    for name, value in losses.items():
        assert value.grad is not None and value.grad.tolist() == [weights[name]] * 3


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="losses must hold at least one term"):
        weighted_sum({})
    with pytest.raises(ValueError, match="weights must hold 'depth', got weights for a, b"):
        weighted_sum({"depth": torch.zeros(2)}, {"b": 1.0, "a": 2.0})
    with pytest.raises(ValueError, match=r"one shape, got \[2\] for 'motion' and \[\] for 'geometric'"):
        weighted_sum({"motion": torch.zeros(2), "geometric": torch.zeros(())})
    with pytest.raises(TypeError):
        PAPER_WEIGHTS["motion"] = 3.0
