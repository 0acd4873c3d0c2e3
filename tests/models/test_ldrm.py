import numpy as np
import pytest
import torch
from models.parts import field_values, latents, path, rigid, small_ldrm, stir, weights_of
from reference import models_ldrm as reference
from reference.finite_differences import slope

from diff4splat.cameras import Cameras
from diff4splat.geometry import matrix_to_quaternion, project, quaternion_multiply, quaternion_to_matrix
from diff4splat.models import LDRM, map_depth

# 9 frames of 32 x 48 in latents of 3 x 3 x 4 x 6
FRAMES, HEIGHT, WIDTH = 9, 32, 48


@pytest.fixture(scope="module")
def ldrm() -> LDRM:
    return small_ldrm()


def clip(batch: int = 2, *, seed: int = 1) -> tuple[torch.Tensor, Cameras]:
    return latents(batch, 3, 3, 4, 6, seed=seed), path(batch, FRAMES, HEIGHT, WIDTH)


def photo(batch: int = 2, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    return torch.rand(
        batch, 3, height, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )


TINY = {
    "num_layers": 2,
    "dim": 12,
    "num_heads": 2,
    "num_key_value_heads": 1,
    "head_width": 3,
    "motion_width": 4,
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temporal_context": 1, "pixel_stride": 4, "num_layers": 3},
        {"every_frame": True, "temporal_stride": 2, "patch_size": 1},
        {"attention": "factorized", "num_layers": 3},
        {"pose_encoding": "vectors"},
        {"feature_channels": 5, "feature_grid": (1, 2)},
        {
            "feature_channels": 5,
            "feature_grid": (2, 4),
            "attention": "factorized",
            "pose_encoding": "vectors",
        },
    ],
)
@pytest.mark.parametrize("photographed", [False, True])
def test_field_matches_the_loop_with_its_gradient(options, photographed) -> None:
    """Tokens, blocks, both heads and the assembly, by loops from the weights to the field."""
    grid = (options := {**TINY, **options}).pop("feature_grid", None)
    model = small_ldrm(**options)
    frames = model.temporal_stride + 1
    z, cameras = latents(1, 2, 3, 2, 4), path(1, frames, 16, 32, seed=3)
    read = [z] if grid is None else [z, latents(1, 2, 5, *grid, seed=6)]
    image = photo(1, 7, 11) if photographed else None
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    names, arrays = zip(*weights_of(model).items(), strict=True)

    def by_loop(*arrays: np.ndarray) -> dict[str, np.ndarray]:
        (latents, *features), arrays = arrays[: len(read)], arrays[len(read) :]
        return reference.ldrm(
            latents[0],
            cameras.camera_to_world[0].numpy(),
            cameras.intrinsics[0].numpy(),
            (16, 32),
            times.tolist(),
            dict(zip(names, arrays, strict=True)),
            model.config,
            image=None if image is None else image[0].numpy(),
            features=features[0][0] if features else None,
        )

    for given in read:
        given.requires_grad_()
    features = read[1] if grid is not None else None
    values = field_values(model(z, cameras, image=image, features=features, times=times))
    start = [*(given.detach().numpy() for given in read), *arrays]
    expected = by_loop(*start)
    assert 0 < (expected["opacities"] == 0).mean() < 1
    for name, value in values.items():
        # rotary angles are float32: seven digits
        np.testing.assert_allclose(value[0].detach().numpy(), expected[name], atol=1e-5, err_msg=name)

    draw = np.random.default_rng(3)
    probes = {name: draw.normal(size=array.shape) for name, array in expected.items()}
    directions = [draw.normal(size=array.shape) for array in start]
    sum((value[0] * torch.from_numpy(probes[name])).sum() for name, value in values.items()).backward()
    leaves = [*read, *(parameter for _, parameter in model.named_parameters())]
    assert [name for name, _ in model.named_parameters()] == list(names)
    got = sum(
        float((leaf.grad * torch.from_numpy(direction)).sum())
        for leaf, direction in zip(leaves, directions, strict=True)
        if leaf.grad is not None
    )
    difference = slope(
        lambda *moved: sum(float(np.sum(array * probes[name])) for name, array in by_loop(*moved).items()),
        start,
        directions,
        step=1e-8,  # small, so that no Gaussian turns from new into seen on the way
    )
    assert got == pytest.approx(difference, rel=1e-4)


def test_one_gaussian_per_entry_of_the_maps(ldrm: LDRM) -> None:
    field = ldrm(*clip())
    assert field.batch_shape == (2,)
    assert field.num_gaussians == 3 * (HEIGHT // 2) * (WIDTH // 2)
    assert field.times.tolist() == pytest.approx([i / 8 for i in range(9)])
    assert field.canonical.means.dtype == torch.float64
    field.validate()


def test_photograph_lays_out_the_first_frame(ldrm: LDRM) -> None:
    image = photo(height=70, width=106)
    field = ldrm(*clip(), image=image)
    assert field.num_gaussians == 70 * 106 + 2 * (HEIGHT // 2) * (WIDTH // 2)
    field.validate()


@pytest.mark.parametrize("pixel_stride", [1, 2, 4])
def test_pixel_stride_sets_the_grid(pixel_stride) -> None:
    field = small_ldrm(pixel_stride=pixel_stride)(*clip(1))
    assert field.num_gaussians == 3 * (HEIGHT // pixel_stride) * (WIDTH // pixel_stride)


def test_every_frame_carries_gaussians_at_its_own_place_and_time() -> None:
    model = small_ldrm(every_frame=True)
    z, cameras = clip(1)
    features = model.encode(z, cameras)
    assert features.gaussian_map.shape == (1, FRAMES, 12, HEIGHT // 2, WIDTH // 2)
    assert features.cameras.num_frames == FRAMES
    assert features.frame_times[0].tolist() == pytest.approx([i / 8 for i in range(9)])
    # nothing moves at its own time
    raw = model.deform(features, features.frame_times)
    own = raw[0].diagonal(dim1=0, dim2=1)
    assert (own == 0).all() and (raw != 0).any()


OPTIONS = [
    {},
    {"every_frame": True, "temporal_context": 1, "backdrop_cells": 3},
    {"attention": "factorized", "pose_encoding": "vectors"},
    {"feature_channels": 5},
]


def given_features(model: LDRM, batch: int = 2) -> torch.Tensor | None:
    return latents(batch, 3, 5, 2, 3, seed=8) if model.feature_channels else None


@pytest.mark.parametrize("options", OPTIONS)
def test_fresh_model_gives_a_static_scene(options) -> None:
    model = small_ldrm(fresh=True, **options)
    field = model(*clip(), image=photo(), features=given_features(model))
    assert (field.delta_means == 0).all() and (field.delta_scales == 0).all()
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert (field.delta_quaternions == identity).all()


def test_stirred_model_moves(ldrm: LDRM) -> None:
    field = ldrm(*clip())
    assert field.delta_means[:, 0].abs().max() < 1e-12, "time 0 is canonical"
    assert (field.delta_means[:, 1:].abs().amax((-2, -1)) > 1e-4).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_moving_the_world_moves_the_field_and_changes_nothing_else(options) -> None:
    model = small_ldrm(**options)
    z, cameras = clip()
    given = {"image": photo(), "features": given_features(model)}
    motion = rigid(2, seed=9, size=1.5)
    moved_cameras = Cameras(
        motion[:, None] @ cameras.camera_to_world, cameras.intrinsics, cameras.height, cameras.width
    )
    before, after = model(z, cameras, **given), model(z, moved_cameras, **given)
    assert before.delta_means.abs().max() > 0.01
    rotation, shift = motion[:, :3, :3], motion[:, :3, 3]
    # cameras relative to the first one differ by the rounding of float64 products
    close = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(after.delta_means, before.delta_means @ rotation[:, None].mT, **close)
    torch.testing.assert_close(after.delta_quaternions, before.delta_quaternions, **close)
    torch.testing.assert_close(after.delta_scales, before.delta_scales, **close)
    for time in (0.0, 0.31, 1.0):
        still, moved = before.at(time), after.at(time)
        torch.testing.assert_close(moved.means, still.means @ rotation.mT + shift[:, None], **close)
        expected = rotation[:, None] @ quaternion_to_matrix(still.quaternions)
        torch.testing.assert_close(quaternion_to_matrix(moved.quaternions), expected, **close)
        turn = matrix_to_quaternion(rotation)[:, None].expand_as(still.quaternions)
        expected = quaternion_multiply(turn, still.quaternions)
        sign = (expected * moved.quaternions).sum(-1, keepdim=True).sign()
        torch.testing.assert_close(moved.quaternions, sign * expected, **close)
        for name in ("scales", "opacities", "harmonics"):
            torch.testing.assert_close(getattr(moved, name), getattr(still, name), **close)


def test_frame_zero_is_seen_from_the_first_camera(ldrm: LDRM) -> None:
    """Cameras count: another path with the same first camera gives another scene."""
    z, cameras = clip()
    other = path(2, FRAMES, HEIGHT, WIDTH, seed=7)
    changed = Cameras(
        torch.cat((cameras.camera_to_world[:, :1], other.camera_to_world[:, 1:]), dim=1),
        cameras.intrinsics,
        HEIGHT,
        WIDTH,
    )
    assert not torch.allclose(ldrm(z, cameras).canonical.means, ldrm(z, changed).canonical.means)


def test_samples_of_a_batch_do_not_meet(ldrm: LDRM) -> None:
    z, cameras = clip()
    both = ldrm(z, cameras, image=photo())
    single = Cameras(cameras.camera_to_world[1:], cameras.intrinsics[1:], HEIGHT, WIDTH)
    alone = ldrm(z[1:], single, image=photo()[1:])
    torch.testing.assert_close(both.canonical.means[1:], alone.canonical.means, atol=1e-10, rtol=0)
    torch.testing.assert_close(both.delta_means[1:], alone.delta_means, atol=1e-10, rtol=0)
    assert torch.equal(both.canonical.opacities[1:] == 0, alone.canonical.opacities == 0)


def test_target_times_are_decoded_from_one_encoding(ldrm: LDRM) -> None:
    z, cameras = clip()
    all_times = ldrm(z, cameras)
    some = ldrm(z, cameras, times=torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    assert some.times.tolist() == [0.0, 0.25, 1.0]
    torch.testing.assert_close(some.canonical.means, all_times.canonical.means)
    torch.testing.assert_close(some.delta_means, all_times.delta_means[:, [0, 2, 8]], atol=1e-10, rtol=0)


def test_stored_times_do_not_choose_the_gaussians(ldrm: LDRM) -> None:
    z, cameras = clip()
    opacities = [
        ldrm(z, cameras, times=torch.tensor(times, dtype=torch.float64)).canonical.opacities
        for times in ([0.0, 0.5, 1.0], [0.13], [0.0, 1.0])
    ]
    assert (opacities[0] == 0).any()
    assert torch.equal(opacities[0], opacities[1]) and torch.equal(opacities[0], opacities[2])


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_reach_the_latents_and_every_parameter(options) -> None:
    model = small_ldrm(**options)
    z, cameras = clip(1)
    z.requires_grad_()
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    field = model(z, cameras, image=photo(1), features=given_features(model, 1), times=times)
    canonical = field.canonical
    values = (
        canonical.means,
        canonical.quaternions,
        canonical.scales,
        canonical.opacities,
        canonical.harmonics,
        field.delta_means,
        field.delta_quaternions,
        field.delta_scales,
    )
    sum((value * torch.randn_like(value)).sum() for value in values).backward()
    assert torch.isfinite(z.grad).all() and (z.grad != 0).any(-1).all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_gradient_of_the_latents_is_the_slope() -> None:
    model = small_ldrm()
    z, cameras = clip(1)
    direction = latents(1, 3, 3, 4, 6, seed=5)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def value(step: float) -> torch.Tensor:
        field = model(z + step * direction, cameras, times=times)
        return field.canonical.means.square().mean() + field.delta_means.square().mean()

    z.requires_grad_()
    value(0.0).backward()
    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    assert (z.grad * direction).sum().item() == pytest.approx(slope.item(), rel=1e-6)


def test_saved_model_is_the_same(tmp_path, ldrm: LDRM) -> None:
    model = small_ldrm().float()
    model.save_pretrained(tmp_path)
    loaded = LDRM.from_pretrained(tmp_path)
    assert loaded.config == model.config
    z, cameras = clip()
    cameras = cameras.to(dtype=torch.float32)
    first, second = model(z.float(), cameras), loaded(z.float(), cameras)
    assert torch.equal(first.canonical.means, second.canonical.means)
    assert torch.equal(first.delta_means, second.delta_means)


def test_bfloat16_network_gives_float32_geometry(recwarn) -> None:
    model = small_ldrm(fresh=True).float()
    stir(model, 0.02)
    z, cameras = clip(1)
    cameras = cameras.to(dtype=torch.float32)
    exact = model(z.float(), cameras)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = model.encode(z.float(), cameras)
        rough = model(z.float(), cameras)
    assert features.pixels.dtype == torch.bfloat16, "the network did compute in eight bits"
    assert features.gaussian_map.dtype == features.frame_times.dtype == torch.float32
    for values in field_values(rough).values():
        assert values.dtype == torch.float32
    # the network rounds to 8 bits, and depth is the exponential of its output
    depth, expected = (map_depth(each.gaussian_map) for each in (features, model.encode(z.float(), cameras)))
    torch.testing.assert_close(depth, expected, rtol=0.02, atol=0)
    torch.testing.assert_close(rough.canonical.means, exact.canonical.means, rtol=0.05, atol=0.05)
    assert [str(warning.message) for warning in recwarn] == []


def test_half_precision_weights_place_gaussians_as_exactly_as_float32() -> None:
    model = small_ldrm(fresh=True).float()
    stir(model, 0.02)
    z, cameras = clip(1)
    image = photo(1, height=19, width=811).float()  # more columns than bfloat16 can count
    halved = small_ldrm(fresh=True).float()
    halved.load_state_dict(model.state_dict())
    halved.bfloat16()
    for given in (image, image.bfloat16()):
        field = halved(z, cameras, image=given)
        assert field.dtype == torch.float32
        # seen from the first camera, Gaussians lie behind the centres of their pixels, whatever their depth
        first = cameras.select(slice(0, 1)).resize(19, 811).to(dtype=torch.float32)
        pose, lens = first.camera_to_world[:, 0], first.intrinsics[:, 0]
        still = project(field.canonical.means[:, : 19 * 811], pose, lens)[0][0].reshape(19, 811, 2)
        assert (still[..., 0] - torch.arange(811) - 0.5).abs().max() < 0.01
        assert (still[..., 1] - torch.arange(19)[:, None] - 0.5).abs().max() < 0.01


@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_types_of_inputs_may_differ_from_that_of_the_weights(given) -> None:
    model = small_ldrm().float()
    z, cameras = clip()
    expected = model(z.float(), cameras.to(dtype=torch.float32), image=photo().float())
    field = model(z.to(given), cameras, image=photo())
    assert field.dtype == field.times.dtype == torch.float32
    torch.testing.assert_close(field.canonical.means, expected.canonical.means, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_computed_with_is_refused(ldrm: LDRM) -> None:
    z, cameras = clip()
    with pytest.raises(
        ValueError, match=r"image must have shape \[2, 3, height, width\], got \[3, 3, 32, 48\]"
    ):
        ldrm(z, cameras, image=photo(3))
    with pytest.raises(TypeError, match=r"image must be floating point, got torch\.uint8"):
        ldrm(z, cameras, image=(255 * photo()).to(torch.uint8))
    with pytest.raises(TypeError, match="cameras must be on cpu like the weights, got meta"):
        ldrm(z, cameras.to(device="meta"))
    with pytest.raises(TypeError, match="latents must be on cpu like the weights, got meta"):
        ldrm(z.to("meta"), cameras)
    with pytest.raises(TypeError, match=r"features must be floating point, got torch\.int64"):
        ldrm(z, cameras, features=torch.zeros(2, 3, 5, 2, 3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m(latents(2, 3, 5, 4, 6), clip()[1]),
            r"3 channels, height, width\], got \[2, 3, 5, 4",
        ),
        (
            lambda m: m(latents(2, 2, 3, 4, 6), clip()[1]),
            r"cameras must have 5 frames for 2 latent frames \(temporal_stride=4\), got 9\.",
        ),
        (
            lambda m: m(latents(3, 3, 3, 4, 6), clip()[1]),
            r"cameras must have the batch axis of latents \(3,\), got \(2,\)\.",
        ),
        (
            lambda m: m(latents(2, 3, 3, 4, 5), path(2, FRAMES, 32, 40)),
            r"multiples of patch_size=2, got 4 x 5\.",
        ),
        (
            lambda m: m(clip()[0], path(2, FRAMES, 17, 99)),
            r"the clip's size, 32 x 48 for latents of 4 x 6, got 17 x 99; see Cameras.resize",
        ),
        (lambda m: LDRM(pixel_stride=3), r"pixel_stride must divide spatial_stride=8, got 3\."),
        (
            lambda m: LDRM(pixel_stride=8),
            r"spatial_stride \* patch_size / pixel_stride must be a multiple of 4, got 8 \* 2 / 8\.",
        ),
        (lambda m: LDRM(num_heads=7), "num_heads must divide dim=256, got 7"),
    ],
)
def test_what_does_not_fit_is_refused(call, message, ldrm: LDRM) -> None:
    with pytest.raises(ValueError, match=message):
        call(ldrm)


def test_features_are_decoded_clip_by_clip_and_time_by_time(ldrm: LDRM) -> None:
    tokens, cameras = clip()
    image = photo()
    whole = ldrm(tokens, cameras, image=image)
    features = ldrm.encode(tokens, cameras, image=image).select(slice(1, 2))
    times = whole.times[[2, 7]]
    deformation = ldrm.deform(features, times[None])
    for options in ({}, {"deformation": deformation}):
        field = ldrm.decode(features, times, image=image[1:], **options)
        assert field.batch_shape == (1,)
        torch.testing.assert_close(field.canonical.means[0], whole.canonical.means[1])
        torch.testing.assert_close(field.delta_means[0], whole.delta_means[1, [2, 7]])
        torch.testing.assert_close(field.delta_quaternions[0], whole.delta_quaternions[1, [2, 7]])
    wrong = ldrm.decode(features, times, image=image[1:], deformation=2 * deformation)
    assert not torch.equal(wrong.delta_means, field.delta_means), "what is given is used"
