"""The network of MoVieS computes what the original does, also where it is easily got wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models.movies_parts import SMALL, clip, golden, golden_network, run_golden, small_movies
from models.parts import check_values_and_slope, path, stir, weights_of
from reference import models_movies as reference

from diff4splat.cameras import Cameras
from diff4splat.models.movies import MoVieS, aggregator, dpt_head, network
from diff4splat.models.movies.codes import camera_code, patch_angles, place_code, time_code
from diff4splat.models.movies.dpt_head import _ResidualUnit
from diff4splat.models.movies.layers import Block


def error(results: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert results.keys() == expected.keys()
    return max(float((results[name] - expected[name]).abs().max()) for name in expected)


def test_outputs_are_those_of_the_original(tmp_path: Path) -> None:
    _, given, expected = golden()
    results = run_golden(golden_network(tmp_path), given)
    for name, values in expected.items():
        # sums of float32 in another order; the values are of size 1
        torch.testing.assert_close(results[name], values, atol=5e-5, rtol=5e-5, msg=name)
    still = torch.linalg.vector_norm(expected["motion"], dim=3) < 0.005
    assert 0 < still.sum() < still.numel(), "both sides of the threshold are compared"


def _fields_of_view_by_pixels(cameras):
    code = camera_code(cameras)
    code[..., 7:] = 2 * torch.atan(0.5 / cameras.intrinsics[..., [1, 0], [1, 0]])
    return code


def _counted_from_zero(rows, columns, *, num_special, **options):
    angles = patch_angles(rows, columns, num_special=num_special, **options)
    return torch.cat((angles[:, :num_special], angles[:, num_special:] - angles[:, num_special, None]), dim=1)


MISTAKES = {
    "real part first": (network, "camera_code", lambda c: camera_code(c)[..., [0, 1, 2, 6, 3, 4, 5, 7, 8]]),
    "translation of camera-to-world": (
        network,
        "camera_code",
        lambda c: torch.cat((c.positions, camera_code(c)[..., 3:]), dim=-1),
    ),
    "focal length in pixels": (network, "camera_code", _fields_of_view_by_pixels),
    "width before height": (
        network,
        "camera_code",
        lambda c: camera_code(c)[..., [0, 1, 2, 3, 4, 5, 6, 8, 7]],
    ),
    "times of pi": (network, "time_code", lambda times, dim: time_code(times * torch.pi, dim)),
    "corners not aligned": (
        dpt_head,
        "_resize",
        lambda features, size: F.interpolate(features, size=size, mode="bilinear", align_corners=False),
    ),
    "skip of what was not rectified": (
        _ResidualUnit,
        "forward",
        lambda self, x: x + self.conv2(F.relu(self.conv1(F.relu(x)))),
    ),
    "place by the grid alone": (
        dpt_head,
        "place_code",
        lambda channels, height, width, aspect, like: place_code(
            channels, height, width, aspect=1.0, like=like
        ),
    ),
    "patches counted from 0": (aggregator, "patch_angles", _counted_from_zero),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_golden_file_notices(mistake: str, tmp_path: Path, monkeypatch) -> None:
    """Each way to get it wrong that keeps all shapes is far outside of rounding."""
    _, given, expected = golden()
    ours = golden_network(tmp_path)
    where, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(where, name, wrong)
    assert error(run_golden(ours, given), expected) > 1e-3


@pytest.mark.parametrize("frames_per_chunk", [1, 2, 7])
def test_chunks_change_nothing(frames_per_chunk: int, tmp_path: Path) -> None:
    _, given, expected = golden()
    results = run_golden(golden_network(tmp_path), given, frames_per_chunk=frames_per_chunk)
    assert error(results, expected) < 5e-4


def test_videos_of_a_batch_do_not_see_each_other() -> None:
    movies = small_movies().double()
    video, cameras = clip(2, 3, 28, 14)
    video, cameras = video.double(), cameras.to(dtype=torch.float64)
    times, targets = torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 1, dtype=torch.float64)
    static, moving = movies(video, cameras, times=times, target_times=targets, frames_per_chunk=2)
    for index in range(2):
        one = slice(index, index + 1)
        alone, moved = movies(video[one], cameras.batch(one), times=times[one], target_times=targets[one])
        for got, expected in zip((*static, *moving[0]), (*alone, *moved[0]), strict=True):
            torch.testing.assert_close(got[one], expected)


def test_a_fresh_network_does_not_hear_cameras_as_rays() -> None:
    movies = MoVieS(**SMALL)
    assert all(not p.any() for p in (*movies.plucker_embed.parameters(), *movies.plucker_ln.parameters()))


def test_gradients_reach_video_cameras_times_and_every_parameter() -> None:
    movies = small_movies().double()
    video, cameras = clip(1, 2, 14, 28)
    video = video.double().requires_grad_()
    cameras = cameras.to(dtype=torch.float64)
    cameras.camera_to_world.requires_grad_()
    times = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    static, (moving,) = movies(video, cameras, times=times, target_times=targets)
    sum((values * torch.randn_like(values)).sum() for values in (*static, *moving)).backward()
    without = [name for name, p in movies.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == ["encoder.mask_token"], "which takes no part"
    for values in (video, cameras.camera_to_world, times, targets):
        assert values.grad.isfinite().all() and values.grad.any()


def test_gradient_of_the_video_is_the_slope() -> None:
    movies = small_movies().double()
    video, cameras = clip(1, 2, 14, 14)
    video, cameras = video.double().requires_grad_(), cameras.to(dtype=torch.float64)
    times = torch.tensor([[0.0, 1.0]], dtype=torch.float64)

    def result(values: torch.Tensor) -> torch.Tensor:
        static, (moving,) = movies(values, cameras, times=times, target_times=times[:, 1:])
        return (
            (static.depth * static.splats[:, :, 4]).sum() + moving.motion.sum() + moving.splats[:, :, 0].sum()
        )

    direction, step = torch.randn_like(video), 1e-6
    result(video).backward()
    with torch.no_grad():
        ahead, behind = (float(result(video + sign * step * direction)) for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    assert float((video.grad * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_camera_code_matches_the_loop_with_its_gradient() -> None:
    """Gradients by position and intrinsics; by the rotation they are those of the tested geometry."""
    cameras = path(1, 3, 14, 42)
    matrices = cameras.camera_to_world
    leaves = [matrices[..., :3, 3:].clone().requires_grad_(), cameras.intrinsics.clone().requires_grad_()]

    def by_loop(positions, intrinsics):
        moved = matrices[0].numpy().copy()
        moved[:, :3, 3:] = positions[0]
        return [
            np.array([reference.camera_code(m, k, 14, 42) for m, k in zip(moved, intrinsics[0], strict=True)])
        ]

    upper = torch.cat((matrices[..., :3, :3], leaves[0]), dim=-1)
    moved = Cameras(torch.cat((upper, matrices[..., 3:, :]), dim=-2), leaves[1], 14, 42)
    check_values_and_slope([camera_code(moved)], by_loop, leaves)


def test_view_angle_is_that_of_the_image_whatever_its_size() -> None:
    cameras = path(1, 1, 30, 30)
    torch.testing.assert_close(camera_code(cameras.resize(60, 60)), camera_code(cameras))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_time_code_is_that_of_the_loop_in_float32_at_least(dtype: torch.dtype) -> None:
    times = torch.tensor([0.0, 0.25, 1.0], dtype=dtype)
    code = time_code(times, 20)
    assert code.dtype == torch.promote_types(dtype, torch.float32)
    expected = np.array([reference.time_code(float(t), 20) for t in times])
    np.testing.assert_allclose(code.numpy(), expected, atol=1e-12 if dtype == torch.float64 else 1e-4)


def test_place_code_is_that_of_the_loop() -> None:
    code = place_code(12, 3, 5, aspect=1.7, like=torch.zeros(()))
    np.testing.assert_allclose(code.numpy(), reference.place_code(12, 3, 5, 1.7), atol=1e-6)


def test_block_matches_the_loop_with_its_gradient() -> None:
    block = Block(24, 3, normalize=True, initial_scale=0.5, eps=1e-5).double()
    stir(block)
    tokens = torch.randn(2, 7, 24, dtype=torch.float64, requires_grad=True)
    angles = patch_angles(2, 3, num_special=1, head_dim=8)
    assert angles.shape == (2, 7, 2)
    places = [(0, 0)] + [(row, column) for row in (1, 2) for column in (1, 2, 3)]
    weights = weights_of(block)

    def by_loop(values):
        return [reference.block(values[0], weights, 3, places, 1e-5)]

    result = block(tokens, angles.double())
    np.testing.assert_allclose(result[0].detach().numpy(), by_loop(tokens.detach().numpy())[0], atol=1e-6)
    exact = torch.stack([torch.tensor(p, dtype=torch.float64) for p in places], dim=1)[..., None]
    exact = exact * 100.0 ** -(torch.arange(2, dtype=torch.float64) / 2)  # beyond float32
    check_values_and_slope([block(tokens, exact)], by_loop, [tokens])


def test_residual_unit_adds_what_it_rectified_with_its_gradient() -> None:
    unit = _ResidualUnit(3).double()
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = weights_of(unit)
    check_values_and_slope(
        [unit(features)], lambda values: [reference.residual_unit(values[0], weights)], [features]
    )


def test_corners_stay_corners_when_maps_are_resized() -> None:
    ramp = torch.arange(6.0).reshape(1, 1, 2, 3)
    larger = dpt_head._resize(ramp, (5, 7))
    assert larger[0, 0, 0, 0] == 0 and larger[0, 0, -1, -1] == 5
    assert larger[0, 0, 0, 3] == 1, "halfway between the corners"


def test_heads_are_as_wide_as_they_are_given_behind_bfloat16() -> None:
    movies = small_movies()
    for part in (movies.plucker_embed, movies.plucker_ln, movies.encoder, movies.backbone):
        part.to(torch.bfloat16)
    video, cameras = clip(1, 2, 28, 28)
    with torch.no_grad():
        static, (moving,) = movies(
            video, cameras, times=torch.tensor([[0.0, 1.0]]), target_times=torch.tensor([[0.5]])
        )
        wide, _ = small_movies()(
            video, cameras, times=torch.tensor([[0.0, 1.0]]), target_times=torch.tensor([[0.5]])
        )
    assert {values.dtype for values in (*static, *moving)} == {torch.float32}
    assert float((static.splats - wide.splats).abs().mean()) < 0.1 * float(wide.splats.std())


def test_autocast_does_not_reach_the_heads(tmp_path: Path) -> None:
    _, given, expected = golden()
    movies = golden_network(tmp_path)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = run_golden(movies, given)
    assert {values.dtype for values in results.values()} == {torch.float32}
    assert len(results["depth"].unique()) > 3000, "eight bits tell a few hundred depths apart"
    assert 1e-4 < float((results["depth"] - expected["depth"]).abs().mean()) < 0.05


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 18}, "dim / num_heads must be a multiple of 4, got 18 / 2"),
        ({"encoder_heads": 3}, "encoder_heads must divide dim=16, got 3"),
        ({"patch_size": 0}, "patch_size must be at least 1, got 0"),
        ({"time_dim": 5}, "time_dim must be even and at least 2, got 5"),
        ({"head_width": 12}, "head_width must be a multiple of 8, got 12"),
        ({"level_widths": [4, 8, 12]}, r"level_widths must be four multiples of 4, got \[4, 8, 12\]"),
        ({"kept_layers": [0, 1, 2, 4]}, r"from 0 to num_layers - 1 = 3, got \[0, 1, 2, 4\]"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MoVieS(**{**SMALL, **options})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, c, t: (v[0], c, t), r"video must have shape \[batch, frame, 3, height, width\], got"),
        (lambda v, c, t: (v[..., :27], c, t), "must be multiples of 14, got 28 x 27"),
        (
            lambda v, c, t: (v, c.select(0), t),
            r"cameras must have the batch and frame axes of video \[1, 2\]",
        ),
        (lambda v, c, t: (v, c.resize(14, 14), t), "of the size of video, 28 x 28, got 14 x 14"),
        (lambda v, c, t: (v, c, t[:, :1]), r"times must have shape \[1, 2\], got \[1, 1\]"),
    ],
)
def test_clips_that_do_not_fit_are_refused(change, words: str, without_shape_checker) -> None:
    video, cameras = clip(1, 2, 28, 28)
    video, cameras, times = change(video, cameras, torch.zeros(1, 2))
    with pytest.raises(ValueError, match=words):
        small_movies().encode(video, cameras, times=times)
