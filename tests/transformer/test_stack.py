import pytest
import torch
from torch import nn
from transformer.test_blocks import DIM, stirred

from diff4splat.transformer import TransformerBlock, rotary_positions, run_blocks, run_factorized

GRID = (3, 2, 5)


def setting() -> tuple[list[TransformerBlock], torch.Tensor, torch.Tensor]:
    blocks = [stirred(TransformerBlock(DIM, num_heads=2, num_key_value_heads=1)) for _ in range(3)]
    for index, block in enumerate(blocks):
        for parameter in block.parameters():
            parameter.data *= 1 + 0.1 * index  # no two blocks alike
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 3 * 2 * 5, DIM, generator=generator, dtype=torch.float64)
    return blocks, tokens, rotary_positions(*GRID, DIM // 2)


def test_blocks_run_one_after_another_on_all_tokens() -> None:
    blocks, tokens, angles = setting()
    expected = [tokens]
    for block in blocks:
        expected.append(block(expected[-1], angles=angles))
    grids = run_blocks(nn.ModuleList(blocks), tokens, grid=GRID, keep=(0, 0, 2))
    assert [grid.shape for grid in grids] == [(2, *GRID, DIM)] * 3
    for grid, number in zip(grids, (1, 1, 3), strict=True):
        torch.testing.assert_close(grid.flatten(1, 3), expected[number], atol=1e-12, rtol=0)
    (last,) = run_blocks(blocks, tokens, grid=GRID)
    assert torch.equal(last, grids[2])


def test_factorized_blocks_take_turns() -> None:
    blocks, tokens, angles = setting()
    expected = tokens
    for block, axis in zip(blocks, ("space", "time", "space"), strict=True):
        expected = run_factorized(block, expected, num_frames=3, axis=axis, angles=angles)
    (grid,) = run_blocks(blocks, tokens, grid=GRID, attention="factorized")
    torch.testing.assert_close(grid.flatten(1, 3), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("attention", ["full", "factorized"])
def test_checkpointing_changes_neither_values_nor_gradients(attention) -> None:
    blocks, tokens, _ = setting()
    leaves = [tokens.requires_grad_(), *nn.ModuleList(blocks).parameters()]
    probe = torch.randn(2, *GRID, DIM, dtype=torch.float64)
    results = []
    for checkpointing in (False, True):
        (grid,) = run_blocks(blocks, tokens, grid=GRID, attention=attention, checkpointing=checkpointing)
        results.append([grid, *torch.autograd.grad(grid, leaves, probe)])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


@pytest.mark.usefixtures("without_shape_checker")
def test_what_does_not_fit_is_refused() -> None:
    blocks, tokens, _ = setting()
    with pytest.raises(ValueError, match=r"tokens must be 36 for a grid of 3 x 3 x 4, got 30\."):
        run_blocks(blocks, tokens, grid=(3, 3, 4))
    with pytest.raises(ValueError, match="attention must be 'full' or 'factorized', got 'sparse'"):
        run_blocks(blocks, tokens, grid=GRID, attention="sparse")
