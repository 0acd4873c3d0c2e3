"""What the reconstruction model is given: sizes, target times, photographs, budgets."""

import pytest
import torch
from models.parts import field_values, latents, path, small_ldrm

from diff4splat.models import LDRM, LDRMFeatures

PHOTO = torch.full((1, 3, 5, 7), 0.5, dtype=torch.float64)
TIMES = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def ldrm() -> LDRM:
    return small_ldrm(num_layers=1)


@pytest.fixture(scope="module")
def encoded(ldrm: LDRM) -> LDRMFeatures:
    return ldrm.encode(latents(1, 2, 3, 2, 4), path(1, 5, 16, 32))


LEAST_ONE = (
    "latent_channels temporal_stride spatial_stride patch_size embed_dim dim num_layers num_heads "
    "num_key_value_heads head_width pixel_width pixel_stride"
).split()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *((name, 1) for name in LEAST_ONE),
        ("motion_width", 2),
        *((name, 0) for name in ("temporal_context", "backdrop_cells", "feature_channels")),
    ],
)
def test_sizes_that_are_too_small_are_refused(name, least) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be at least {least}, got {least - 1}\.$"):
        LDRM(**{name: least - 1})


def test_heads_of_odd_width_have_no_rotary_positions() -> None:
    with pytest.raises(ValueError, match=r"dim / num_heads must be even for rotary positions, got 24 / 8\."):
        LDRM(dim=24, num_heads=8, num_key_value_heads=8)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"times": TIMES[:0]}, ValueError, r"times must have one axis of at least one time, got shape \[0\]"),
        ({"times": TIMES[None]}, ValueError, r"times must have one axis .* got shape \[1, 3\]"),
        ({"times": torch.tensor([0, 1])}, TypeError, r"times must be floating point, got torch\.int64"),
        ({"times": TIMES.to("meta")}, TypeError, "times must be on cpu like the features, got meta"),
        ({"image": PHOTO.to(torch.uint8)}, TypeError, r"image must be floating point, got torch\.uint8"),
        ({"image": PHOTO[0]}, ValueError, r"\[1, 3, height, width\], got \[3, 5, 7\]"),
        ({"image": PHOTO.expand(2, -1, -1, -1)}, ValueError, r"width\], got \[2, 3, 5, 7\]"),
        ({"image": PHOTO[:, :, :0]}, ValueError, r"width\], got \[1, 3, 0, 7\]"),
        (
            {"times": TIMES, "deformation": torch.zeros(1, 2, 2, 10, 8, 16)},
            ValueError,
            r"deformation must have shape \[1, 3, 2, 10, 8, 16\], got \[1, 2, 2, 10, 8, 16\]",
        ),
        (
            {"deformation": torch.zeros(1, 3, 2, 10, 8, 16)},
            ValueError,
            r"deformation must have shape \[1, 5, 2, 10, 8, 16\], got \[1, 3,",
        ),
        ({"max_gaussians": 9}, ValueError, r"max_gaussians needs the image .* got image=None"),
        ({"max_gaussians": 0, "image": PHOTO}, ValueError, "max_gaussians must be at least 1, got 0"),
    ],
)
def test_targets_that_do_not_fit_are_refused(given, error, message, ldrm, encoded) -> None:
    with pytest.raises(error, match=message):
        ldrm.decode(encoded, **given)


@pytest.mark.usefixtures("without_shape_checker")
def test_a_budget_is_for_one_clip(ldrm: LDRM) -> None:
    images = PHOTO.expand(2, -1, -1, -1)
    with pytest.raises(ValueError, match=r"max_gaussians needs one clip at a time, got 2\."):
        ldrm(latents(2, 2, 3, 2, 4), path(2, 5, 16, 32), image=images, max_gaussians=9)


@pytest.mark.parametrize("shape", [(0, 2, 3, 2, 4), (1, 0, 3, 2, 4), (1, 2, 3, 0, 4), (1, 2, 3, 2, 0)])
def test_empty_latents_are_refused(shape, ldrm: LDRM) -> None:
    with pytest.raises(
        ValueError, match=rf"latents must not be empty, got shape \[{shape[0]}, {shape[1]}, 3"
    ):
        ldrm(torch.zeros(shape), path(1, 5, 16, 32))


@pytest.mark.parametrize("given", [torch.float64, torch.float16])
def test_times_of_any_type_are_brought_to_that_of_geometry(given, encoded) -> None:
    model = small_ldrm(num_layers=1).float()
    features = model.encode(latents(1, 2, 3, 2, 4), path(1, 5, 16, 32))
    times = torch.tensor([0.0, 0.25, 1.0])  # the same numbers in every type
    expected, field = model.decode(features, times), model.decode(features, times.to(given))
    assert field.times.dtype == torch.float32
    for first, second in zip(field_values(field).values(), field_values(expected).values(), strict=True):
        assert torch.equal(first, second)
    raw = model.deform(features, times.to(given)[None])
    assert raw.dtype == torch.float32 and torch.equal(raw, model.deform(features, times[None]))


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("shape", [(2, 3), (1, 0), (3,)])
def test_times_to_deform_are_one_row_per_clip(shape, ldrm: LDRM, encoded) -> None:
    with pytest.raises(
        ValueError, match=rf"times must have shape \[1, time\], at least one, got \[{shape[0]}"
    ):
        ldrm.deform(encoded, torch.zeros(shape))


def test_torchs_default_type_makes_no_difference() -> None:
    model = small_ldrm(num_layers=1, backdrop_cells=2).float()
    given = latents(1, 2, 3, 2, 4).float(), path(1, 5, 16, 32).to(dtype=torch.float32)
    fields = [model(*given, image=PHOTO)]
    torch.set_default_dtype(torch.float64)
    try:
        fields.append(model(*given, image=PHOTO))
    finally:
        torch.set_default_dtype(torch.float32)
    for first, second in zip(*(field_values(field).values() for field in fields), strict=True):
        assert first.dtype == second.dtype == torch.float32
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
