import numpy as np
import pytest
import torch
from models.parts import (
    check_values_and_slope,
    latents,
    path,
    peak_bytes,
    small_ldrm,
    stir,
    token_grids,
    weights_of,
)
from reference import models_heads as reference
from torch import Tensor

from diff4splat.models import DeformationHead


def deformation(head: DeformationHead, times: torch.Tensor, frame_times: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, 2, 5, 12, 20, generator=generator, dtype=torch.float64)
    return head(token_grids(4), pixels, times.double(), frame_times.double())


TIMES = torch.tensor([[0.0, 0.3, 1.0], [0.1, 0.5, 0.7]])
FRAME_TIMES = torch.tensor([[0.0, 1.0], [0.0, 0.7]])


def test_deformation_map_matches_the_loop_with_its_gradient() -> None:
    head = DeformationHead(7, width=6, pixel_width=5, time_dim=8).double()
    stir(head, 0.3)
    generator = torch.Generator().manual_seed(2)
    leaves = [torch.randn(1, 2, 2, 3, 7, generator=generator, dtype=torch.float64) for _ in range(4)]
    leaves.append(torch.randn(1, 2, 5, 8, 12, generator=generator, dtype=torch.float64))
    times, frame_times = torch.tensor([[0.0, 0.3, 0.9]]).double(), torch.tensor([[0.2, 0.7]]).double()
    weights = weights_of(head)

    def by_loop(*arrays: np.ndarray) -> list[np.ndarray]:
        levels, pixels = [level[0] for level in arrays[:4]], arrays[4][0]
        return [
            reference.deformation_head(
                levels, pixels, times[0].tolist(), frame_times[0].tolist(), weights, time_dim=8
            )
        ]

    for leaf in leaves:
        leaf.requires_grad_()
    check_values_and_slope([head(leaves[:4], leaves[4], times, frame_times)], by_loop, leaves)


def test_fresh_head_moves_nothing_and_has_ten_channels() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    maps = deformation(head, TIMES, FRAME_TIMES)
    assert maps.shape == (2, 3, 2, 10, 12, 20)
    assert (maps == 0).all()


def test_a_pixel_does_not_move_at_its_own_time() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    maps = deformation(head, TIMES, FRAME_TIMES)
    assert (maps[0, 0, 0] == 0).all() and (maps[0, 2, 1] == 0).all() and (maps[1, 2, 1] == 0).all()
    others = torch.ones(2, 3, 2, dtype=torch.bool)
    others[0, 0, 0] = others[0, 2, 1] = others[1, 2, 1] = False
    assert (maps.abs().amax((-3, -2, -1)) > 0)[others].all()


def test_a_target_time_is_decoded_alike_alone_and_among_others() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    maps = deformation(head, TIMES, FRAME_TIMES)
    for index in range(3):
        alone = deformation(head, TIMES[:, index : index + 1], FRAME_TIMES)
        torch.testing.assert_close(alone[:, 0], maps[:, index], atol=1e-12, rtol=0)


def test_every_depth_is_read() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    levels = [level.requires_grad_() for level in token_grids(4)]
    pixels = torch.randn(2, 2, 5, 12, 20, dtype=torch.float64, requires_grad=True)
    head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).square().sum().backward()
    for values in (*levels, pixels):
        assert torch.isfinite(values.grad).all() and (values.grad != 0).any()


def test_a_single_token_is_enough() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    levels = token_grids(4, height=1, width=1)
    assert head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).shape == (2, 3, 2, 10, 4, 4)


@pytest.mark.parametrize("times_per_chunk", [1, 2, 3, 11])
def test_chunks_change_neither_values_nor_gradients(times_per_chunk) -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    times = torch.rand(2, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    results = []
    for size in (7, times_per_chunk):
        levels = [level.requires_grad_() for level in token_grids(4)]
        pixels = torch.randn(2, 2, 5, 12, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        leaves = [*levels, pixels.requires_grad_(), times.clone().requires_grad_()]
        maps = head(levels, pixels, leaves[-1], FRAME_TIMES.double(), times_per_chunk=size)
        with torch.no_grad():
            unrecorded = head(levels, pixels, times, FRAME_TIMES.double(), times_per_chunk=size)
        torch.testing.assert_close(unrecorded, maps, atol=1e-12, rtol=0)
        results.append((maps, torch.autograd.grad(maps.square().sum(), [*leaves, *head.parameters()])))
    (whole, whole_gradients), (chunked, gradients) = results
    torch.testing.assert_close(chunked, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients, whole_gradients, atol=1e-10, rtol=1e-10)


def bytes_beyond_the_result(num_times: int, *, times_per_chunk: int, training: bool) -> tuple[int, int]:
    """Peak memory of decoding, or of decoding and `backward`, less the result; and the size of the result."""
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 44, 52, dtype=torch.float64, requires_grad=True)
    levels, times = token_grids(4), torch.linspace(0, 1, num_times).double().expand(2, -1)
    result_bytes = 8 * 2 * num_times * 2 * 10 * 44 * 52

    def call() -> torch.Tensor:
        with torch.set_grad_enabled(training):
            maps = head(levels, pixels, times, FRAME_TIMES.double(), times_per_chunk=times_per_chunk)
        if training:
            maps.backward(torch.ones_like(maps))
        return maps.detach()

    return peak_bytes(call) - result_bytes, result_bytes


def test_memory_beyond_the_result_does_not_grow_with_the_number_of_times() -> None:
    few, few_result = bytes_beyond_the_result(3, times_per_chunk=1, training=False)
    many, many_result = bytes_beyond_the_result(24, times_per_chunk=1, training=False)
    assert many == pytest.approx(few, rel=0.01)
    # the test can fail: all times at once need as much again per time
    at_once, _ = bytes_beyond_the_result(24, times_per_chunk=24, training=False)
    assert at_once > many + 1.5 * (many_result - few_result)


def test_memory_of_training_grows_by_the_result_and_its_gradient_alone() -> None:
    few, few_result = bytes_beyond_the_result(3, times_per_chunk=1, training=True)
    many, many_result = bytes_beyond_the_result(24, times_per_chunk=1, training=True)
    growth = many_result - few_result
    assert many - few == pytest.approx(growth, rel=0.01)  # the gradient is as large as the result
    at_once, _ = bytes_beyond_the_result(24, times_per_chunk=24, training=True)
    assert at_once - few > 2.5 * growth


@pytest.mark.parametrize("every_frame", [False, True])
def test_pixel_frames_are_decoded_once_and_give_the_same_field(every_frame) -> None:
    ldrm = small_ldrm(every_frame=every_frame)
    z, cameras = latents(1, 2, 3, 2, 4), path(1, 5, 16, 32)
    decoded: list[int] = []
    ldrm.deformation_head.register_forward_hook(lambda _, args, maps: decoded.append(args[2].shape[1]))
    fields = []
    for times in (None, torch.linspace(0, 1, 5).double()):
        field = ldrm(z, cameras, times=times)
        values = {name: value for name, value in vars(field.canonical).items() if isinstance(value, Tensor)}
        values |= {name: value for name, value in vars(field).items() if isinstance(value, Tensor)}
        loss = field.canonical.means.square().mean() + field.delta_means.square().mean()
        fields.append((values, torch.autograd.grad(loss, list(ldrm.deformation_head.parameters()))))
    torch.testing.assert_close(fields[0], fields[1], atol=1e-9, rtol=1e-9)
    assert (fields[0][0]["delta_means"] != 0).any() and (fields[0][0]["opacities"] == 0).any()
    frames = 5 if every_frame else 2
    assert decoded == [5] + [5, 1] + frames * [1]


def test_the_head_freezes_as_one_unit() -> None:
    """The paper's static stages: no parameter of the head changes, every other one does."""
    ldrm = small_ldrm()
    z, cameras = latents(1, 2, 3, 2, 4), path(1, 5, 16, 32)
    with torch.no_grad():
        features = ldrm.encode(z, cameras)
    ldrm.deform(features, torch.tensor([[0.3]]).double()).square().sum().backward()
    by_the_head = {name for name, parameter in ldrm.named_parameters() if parameter.grad is not None}
    assert by_the_head == {f"deformation_head.{name}" for name, _ in ldrm.deformation_head.named_parameters()}
    ldrm.zero_grad()
    features = ldrm.encode(z, cameras)
    features.gaussian_map.square().sum().backward()
    untouched = {name for name, parameter in ldrm.named_parameters() if parameter.grad is None}
    assert untouched == by_the_head, "without a photograph, what makes the Gaussian map is all the rest"

    ldrm.deformation_head.requires_grad_(False)
    frozen = {name for name, parameter in ldrm.named_parameters() if not parameter.requires_grad}
    assert frozen == by_the_head
    before = {name: value.clone() for name, value in ldrm.state_dict().items()}
    optimizer = torch.optim.AdamW(ldrm.parameters(), lr=1e-3)
    optimizer.zero_grad()
    field = ldrm(z, cameras, times=torch.tensor([0.0, 0.3]).double())
    (field.canonical.means.square().mean() + field.delta_means.square().mean()).backward()
    ldrm.encode(z, cameras).gaussian_map.square().sum().backward()
    optimizer.step()
    changed = {name for name, value in ldrm.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before) - by_the_head


def test_empty_chunks_are_refused() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="times_per_chunk must be at least 1, got 0"):
        head(token_grids(4), pixels, TIMES.double(), FRAME_TIMES.double(), times_per_chunk=0)


def test_wrong_number_of_levels_is_refused() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="levels must have 4 grids, got 3"):
        head(token_grids(3), pixels, TIMES.double(), FRAME_TIMES.double())
