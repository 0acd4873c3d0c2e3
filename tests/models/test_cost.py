from typing import Any

import pytest
import torch
from models.parts import latents, path, peak_bytes, small_ldrm
from torch.utils.flop_counter import FlopCounterMode

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.models import LDRM, count_flops, estimate_memory

# 5 frames of 48 x 80, 3 times: latents of 2 x 3 x 6 x 10, 30 tokens
SIZE: dict[str, Any] = {"num_frames": 5, "height": 48, "width": 80, "num_times": 3}
PHOTO = (59, 97)


def model(**options: Any) -> LDRM:
    return small_ldrm(**{"num_layers": 2, **options})


def run(ldrm: LDRM, *, image_size: tuple[int, int] | None = None) -> DeformableGaussianField:
    """The forward pass of `SIZE` with values."""
    dtype = next(ldrm.parameters()).dtype
    return ldrm(
        latents(1, 2, 3, 6, 10).to(dtype),
        path(1, 5, 48, 80).to(dtype=dtype),
        image=None if image_size is None else torch.rand(1, 3, *image_size, dtype=dtype),
        features=torch.rand(1, 2, 5, 6, 10, dtype=dtype) if ldrm.feature_channels else None,
        times=torch.linspace(0, 1, 3, dtype=dtype),
    )


def tensors(field: DeformableGaussianField) -> list[torch.Tensor]:
    values = [*vars(field.canonical).values(), *vars(field).values()]
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize(
    ("dtype", "options", "image_size"),
    [
        (torch.float32, {}, None),
        (torch.float64, {"backdrop_cells": 7, "temporal_context": 1}, PHOTO),
        (torch.float32, {"every_frame": True, "pixel_stride": 1}, None),
        (torch.float32, {"feature_channels": 5, "attention": "factorized"}, None),
    ],
)
def test_peak_is_what_the_allocator_counts(dtype, options, image_size) -> None:
    ldrm = model(**options).to(dtype)
    estimate = estimate_memory(ldrm, **SIZE, image_size=image_size)
    with torch.no_grad():
        field = run(ldrm, image_size=image_size)
        measured = peak_bytes(lambda: run(ldrm, image_size=image_size))
    assert estimate.peak - estimate.parameters == pytest.approx(measured, rel=0.15)
    assert estimate.parameters == sum(value.nbytes for value in ldrm.parameters())
    held = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors(field)}
    assert estimate.result == pytest.approx(sum(held.values()), rel=0.01)


def test_peak_of_a_training_step_is_what_the_allocator_counts() -> None:
    ldrm = model()

    def step() -> None:
        field = run(ldrm)
        sum(value.square().mean() for value in tensors(field) if value.requires_grad).backward()

    step()
    ldrm.zero_grad(set_to_none=True)
    measured = peak_bytes(step)
    ldrm.zero_grad(set_to_none=True)
    whole = estimate_memory(ldrm, **SIZE, mode="training")
    assert whole.peak - whole.parameters == pytest.approx(measured, rel=0.15)
    ldrm.deformation_head.requires_grad_(False)
    frozen = estimate_memory(ldrm, **SIZE, mode="training")
    gradients = sum(value.nbytes for value in ldrm.deformation_head.parameters())
    assert whole.result - frozen.result == gradients
    assert all(value.grad is None for value in ldrm.parameters()), "the model itself is left alone"


def test_operations_are_those_of_a_run_and_of_the_closed_form() -> None:
    ldrm = model()
    flops = count_flops(ldrm, **SIZE, image_size=PHOTO)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(ldrm, image_size=PHOTO)
    assert sum(flops.values()) == counter.get_total_flops()
    tokens, dim = 30, 24
    products = sum(2 * tokens * value.numel() for value in ldrm.blocks.parameters() if value.ndim == 2)
    assert flops["blocks"] == products + len(ldrm.blocks) * 4 * tokens**2 * dim


def test_a_model_without_weights_costs_the_same_and_a_batch_in_proportion() -> None:
    ldrm = model().float()
    with torch.device("meta"):
        empty = LDRM(**ldrm.config)
    assert next(empty.parameters()).is_meta
    one, three = estimate_memory(ldrm, **SIZE), estimate_memory(empty, **SIZE, batch=3)
    assert three.parameters == one.parameters and three.inputs == pytest.approx(3 * one.inputs, rel=0.01)
    assert three.peak - three.parameters == pytest.approx(3 * (one.peak - one.parameters), rel=0.01)


@pytest.mark.parametrize("cost", [count_flops, estimate_memory])
def test_the_model_keeps_its_weights_while_it_is_counted(cost) -> None:
    """Another thread may run it meanwhile."""
    ldrm = model()
    weights, kept = list(ldrm.parameters()), []

    def look(*_: Any) -> None:
        kept.append(all(now is before for now, before in zip(ldrm.parameters(), weights, strict=True)))

    ldrm.register_forward_hook(look)
    cost(ldrm, **SIZE)
    assert kept == [True]


def test_surroundings_make_no_difference() -> None:
    ldrm = model()
    expected = estimate_memory(ldrm, **SIZE, mode="training")
    with torch.inference_mode():
        assert estimate_memory(ldrm, **SIZE, mode="training") == expected
    with torch.no_grad():
        assert estimate_memory(ldrm, **SIZE, mode="training") == expected


def test_checkpointing_is_counted() -> None:
    ldrm = model(num_layers=4)
    plain = estimate_memory(ldrm, **SIZE, mode="training").peak
    ldrm.gradient_checkpointing = True
    assert estimate_memory(ldrm, **SIZE, mode="training").peak < 0.95 * plain


@pytest.mark.usefixtures("without_shape_checker")
def test_what_does_not_fit_is_refused() -> None:
    ldrm = model()
    with pytest.raises(ValueError, match=r"cameras must have 9 frames for 3 latent frames .* got 11"):
        estimate_memory(ldrm, num_frames=11, height=48, width=80)
    with pytest.raises(ValueError, match="cameras must be of the clip's size"):
        count_flops(ldrm, num_frames=9, height=47, width=80)
    with pytest.raises(ValueError, match="mode must be 'inference' or 'training', got 'test'"):
        estimate_memory(ldrm, **SIZE, mode="test")
    with pytest.raises(ValueError, match="mode='training' needs weights that require gradients, got none"):
        estimate_memory(ldrm.requires_grad_(False), **SIZE, mode="training")
    for name in ("num_frames", "height", "width", "num_times", "batch"):
        with pytest.raises(ValueError, match=rf"{name} must be at least 1, got 0\."):
            estimate_memory(ldrm, **{**SIZE, name: 0})
    with pytest.raises(ValueError, match=r"image_size\[1\] must be at least 1, got -2\."):
        count_flops(ldrm, **SIZE, image_size=(3, -2))
