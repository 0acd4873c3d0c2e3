import pytest
import torch
from transformer.test_blocks import DIM, stirred

from diff4splat.transformer import TransformerBlock, rotary_positions, run_factorized

FRAMES, HEIGHT, WIDTH = 3, 2, 5
PLACES = HEIGHT * WIDTH


def setting() -> tuple[TransformerBlock, torch.Tensor, torch.Tensor]:
    block = stirred(TransformerBlock(DIM, num_heads=2, num_key_value_heads=1))
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, FRAMES * PLACES, DIM, generator=generator, dtype=torch.float64)
    return block, tokens, rotary_positions(FRAMES, HEIGHT, WIDTH, DIM // 2).double()


@pytest.mark.parametrize("positions", [True, False])
def test_each_frame_or_place_is_mixed_as_if_it_were_alone(positions) -> None:
    block, tokens, angles = setting()
    angles = angles if positions else None
    space = run_factorized(block, tokens, num_frames=FRAMES, axis="space", angles=angles)
    time = run_factorized(block, tokens, num_frames=FRAMES, axis="time", angles=angles)
    frames = [slice(frame * PLACES, (frame + 1) * PLACES) for frame in range(FRAMES)]
    places = [slice(place, None, PLACES) for place in range(PLACES)]
    for mixed, groups in ((space, frames), (time, places)):
        for group in groups:
            # the positions of the group itself: that those of the first group serve for all is shown here
            alone = block(tokens[:, group], angles=None if angles is None else angles[group])
            torch.testing.assert_close(mixed[:, group], alone, atol=1e-12, rtol=0)


def test_nothing_crosses_from_group_to_group() -> None:
    block, tokens, angles = setting()
    options = {"num_frames": FRAMES, "angles": angles}
    changed = tokens.clone()
    changed[:, PLACES + 3] += 1  # frame 1, place 3
    for axis, touched in (("space", range(PLACES, 2 * PLACES)), ("time", range(3, 3 * PLACES, PLACES))):
        difference = run_factorized(block, changed, axis=axis, **options)
        difference = difference - run_factorized(block, tokens, axis=axis, **options)
        rows = difference.abs().amax((0, 2)) > 0
        assert rows.nonzero().flatten().tolist() == list(touched)


def test_one_frame_in_space_is_full_attention() -> None:
    block, tokens, _ = setting()
    angles = rotary_positions(1, FRAMES * HEIGHT, WIDTH, DIM // 2).double()
    alone = run_factorized(block, tokens, num_frames=1, axis="space", angles=angles)
    assert torch.equal(alone, block(tokens, angles=angles))


def test_gradients() -> None:
    block, tokens, angles = setting()
    few = tokens[:1, : 2 * PLACES : 5].clone().requires_grad_()  # 2 frames of 2 tokens
    for axis in ("space", "time"):
        assert torch.autograd.gradcheck(
            lambda leaf, axis=axis: run_factorized(block, leaf, num_frames=2, axis=axis, angles=angles[:4]),
            (few,),
        )


def test_what_does_not_fit_is_refused() -> None:
    block, tokens, _ = setting()
    with pytest.raises(ValueError, match="num_frames must divide the 30 tokens, got 7"):
        run_factorized(block, tokens, num_frames=7, axis="space")
