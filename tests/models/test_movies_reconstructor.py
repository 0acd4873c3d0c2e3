"""From a video with its cameras to a field that shows what MoVieS shows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models.movies_parts import clip, random_maps, small_movies
from models.parts import field_values, path, rigid
from reference import models_movies as reference
from reference.finite_differences import slope

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.geometry import pixel_grid, unproject
from diff4splat.models.movies import MoVieSReconstructor, maps_to_field
from diff4splat.models.movies.clips import prepare_clip, view_indices, working_size
from diff4splat.models.movies.fields import activate_splats
from diff4splat.rendering import render


def small_reconstructor(**options) -> MoVieSReconstructor:
    options = {"num_views": 3, "size": 28, "scene_scale": 2.0, **options}
    return MoVieSReconstructor(small_movies(), **options).eval()


def reconstruct(reconstructor: MoVieSReconstructor, *args, **options) -> DeformableGaussianField:
    with torch.no_grad():
        return reconstructor(*args, **options)


@pytest.mark.parametrize(
    ("frames", "views", "expected"),
    [
        (49, 13, list(range(0, 49, 4))),
        (11, 5, [0, 2, 5, 7, 10]),
        (3, 13, [0, 1, 2]),
        (7, 1, [0]),
        (1, 13, [0]),
    ],
)
def test_views_are_spread_over_the_clip(frames: int, views: int, expected: list[int]) -> None:
    assert view_indices(frames, views) == expected


@pytest.mark.parametrize(
    ("sides", "expected"),
    [((480, 832), (126, 224)), ((832, 480), (224, 126)), ((17, 17), (224, 224)), ((3, 900), (14, 224))],
)
def test_working_size_is_whole_patches(sides: tuple[int, int], expected: tuple[int, int]) -> None:
    assert working_size(*sides, size=224, patch_size=14) == expected


@pytest.mark.parametrize("sides", [(61, 97), (97, 61), (28, 42)])
def test_every_pixel_keeps_its_ray(sides: tuple[int, int]) -> None:
    """A picture of where its own pixels are tells where they went; the intrinsics tell the same."""
    height, width = sides
    cameras = path(1, 2, height, width).to(dtype=torch.float32)
    places = pixel_grid(height, width) / torch.tensor([width, height])
    picture = torch.cat((places.movedim(-1, 0), torch.zeros(1, height, width)))
    prepared = prepare_clip(
        picture.expand(1, 2, 3, height, width), cameras, num_views=2, size=42, patch_size=14
    )
    rows, columns = prepared.video.shape[-2:]
    assert (rows, columns) == (prepared.cameras.height, prepared.cameras.width)
    assert rows % 14 == columns % 14 == 0
    shown = prepared.video[0, 1, :2].movedim(0, -1) * torch.tensor([width, height])
    now, before = prepared.cameras.intrinsics[0, 1], cameras.intrinsics[0, 1]
    homogeneous = torch.cat((pixel_grid(rows, columns), torch.ones(rows, columns, 1)), dim=-1)
    came_from = (homogeneous @ (before @ torch.linalg.inv(now)).mT)[..., :2]
    inner = (slice(3, -3), slice(3, -3))  # at the borders, resampling sees the border
    torch.testing.assert_close(shown[inner], came_from[inner], atol=0.05, rtol=0)
    assert torch.equal(prepared.cameras.camera_to_world, cameras.camera_to_world)
    assert prepared.times.tolist() == [0, 1]


def test_field_of_maps_matches_the_loop_with_its_gradient() -> None:
    static, moving = random_maps(2, 2, 3, 4, 3)
    cameras = path(2, 2, 3, 4)
    names = ("depth", "splats", "motion", "moved")
    leaves = [
        static.depth,
        static.splats,
        torch.stack([maps.motion for maps in moving], 1),
        torch.stack([maps.splats for maps in moving], 1),
    ]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    field = maps_to_field(
        static._replace(depth=leaves[0], splats=leaves[1]),
        (
            maps._replace(motion=motion, splats=splats)
            for maps, motion, splats in zip(moving, leaves[2].unbind(1), leaves[3].unbind(1), strict=True)
        ),
        cameras,
        times=torch.tensor([0.0, 0.4, 1.0]),
        scene_scale=1.7,
    )
    got = field_values(field)
    for index in range(2):
        matrices, intrinsics = (v[index].numpy() for v in (cameras.camera_to_world, cameras.intrinsics))
        arrays = [leaf.detach().numpy()[index] for leaf in leaves]
        expected = reference.field(*arrays, matrices, intrinsics, 1.7)
        assert got.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(got[name][index].detach().numpy(), values, atol=1e-12, err_msg=name)
    draw = np.random.default_rng(0)
    probes = {name: draw.normal(size=values.shape) for name, values in expected.items()}
    directions = [draw.normal(size=array.shape) for array in arrays]
    sum((got[name][1] * torch.from_numpy(probe)).sum() for name, probe in probes.items()).backward()
    assert len(names) == len(leaves)
    total = sum(
        float((leaf.grad[1] * torch.from_numpy(direction)).sum())
        for leaf, direction in zip(leaves, directions, strict=True)
    )

    def by_loop(*moved: np.ndarray) -> float:
        values = reference.field(*moved, matrices, intrinsics, 1.7)
        return sum(float((values[name] * probe).sum()) for name, probe in probes.items())

    assert total == pytest.approx(slope(by_loop, arrays, directions), rel=1e-6)


def gaussians_of_movies(static, splats, motion, cameras: Cameras) -> Gaussians:
    """What MoVieS itself draws at one time, in the world of the first camera."""
    attributes = activate_splats(splats)
    points = unproject(static.depth.clamp(0.001, 100), cameras.camera_to_world, cameras.intrinsics)
    return Gaussians(
        (points + motion.movedim(2, -1)).flatten(1, 3),
        attributes.quaternions,
        attributes.scales,
        attributes.opacities,
        rgb_to_harmonics(attributes.colors)[:, :, None],
    )


def test_field_shows_what_movies_shows_where_colour_and_opacity_stay() -> None:
    static, moving = random_maps(1, 2, 5, 7, 2)
    raised = static.splats.clone()
    raised[:, :, 3:6] += 30  # large enough to be seen
    static = static._replace(splats=raised, depth=1 + static.depth)
    turned = [maps.splats.clone() for maps in moving]
    for values in turned:
        values[:, :, 3:6] += 30
        values[:, :, :3], values[:, :, 10] = raised[:, :, :3], raised[:, :, 10]
    moving = [maps._replace(splats=values) for maps, values in zip(moving, turned, strict=True)]
    world = path(1, 2, 5, 7)
    relative = world.relative_to(None)
    times = torch.tensor([0.0, 1.0])
    field = maps_to_field(static, moving, world, times=times)
    assert field.metadata["lost_color"] == field.metadata["lost_opacity"] == {"static": 0.0, "mean": 0.0}
    views = [cameras.resize(20, 28).batch(0) for cameras in (world, relative)]
    for index, time in enumerate(times):
        ours = render(field.batch(0).at(time), views[0], backend="reference")
        direct = gaussians_of_movies(static, moving[index].splats, moving[index].motion, relative)
        theirs = render(direct.batch(0), views[1], backend="reference")
        assert theirs.alpha.max() > 0.5
        torch.testing.assert_close(ours.color, theirs.color, atol=1e-9, rtol=0)
        torch.testing.assert_close(ours.depth, theirs.depth, atol=1e-8, rtol=0)


def test_what_is_lost_is_said_and_the_mean_loses_least() -> None:
    static, moving = random_maps(1, 1, 3, 4, 3)
    still = activate_splats(static.splats)
    there = [activate_splats(maps.splats) for maps in moving]
    options = {"times": torch.tensor([0.0, 0.5, 1.0])}
    for appearance in ("mean", "static"):
        field = maps_to_field(static, moving, path(1, 1, 3, 4), **options, appearance=appearance)
        values = field_values(field)
        for name, lost in (("colors", "lost_color"), ("opacities", "lost_opacity")):
            now = torch.stack([getattr(splats, name) for splats in there])
            left = (now - values[name]).square().mean().sqrt()
            assert field.metadata[lost][appearance] == pytest.approx(float(left), abs=1e-6)
            assert field.metadata[lost]["mean"] < field.metadata[lost]["static"]
        kept = still.colors if appearance == "static" else sum(s.colors for s in there) / 3
        torch.testing.assert_close(values["colors"], kept)
    json.dumps(dict(field.metadata))


def test_rotation_comes_real_part_first() -> None:
    raw = torch.zeros(1, 1, 11, 1, 1)
    raw[0, 0, 6] = 3.0
    assert activate_splats(raw).quaternions.tolist() == [[[1.0, 0.0, 0.0, 0.0]]]


def test_scales_have_logarithms_and_an_upper_bound() -> None:
    raw = torch.zeros(1, 1, 11, 1, 2)
    raw[:, :, 3:6, 0, 0], raw[:, :, 3:6, 0, 1] = -1000.0, 1000.0
    scales = activate_splats(raw).scales
    assert scales.log().isfinite().all()
    assert scales[0, 1].tolist() == pytest.approx([0.3] * 3)


def test_video_becomes_a_field_in_the_world_of_its_cameras(tmp_path: Path) -> None:
    video, cameras = clip(1, 5, 30, 47)
    field = reconstruct(small_reconstructor(min_opacity=0.0), video, cameras)
    field.validate()
    assert field.batch_shape == (1,) and field.num_gaussians == 3 * 14 * 28
    assert field.times.tolist() == [0, 0.25, 0.5, 0.75, 1.0]
    assert field.dtype == torch.float32 and field.scale_space == "log"
    assert field.metadata["reconstructor"] == "MoVieS"
    assert (field.metadata["num_views"], field.metadata["working_size"]) == (3, [14, 28])
    distances = torch.linalg.vector_norm(field.canonical.means - cameras.positions[:, :1], dim=-1)
    assert field.metadata["mean_distance"] == pytest.approx(float(distances.mean()) / 2, rel=1e-4)
    field.batch(0).save(tmp_path / "field.safetensors")
    loaded = DeformableGaussianField.load(tmp_path / "field.safetensors")
    assert loaded.metadata == field.metadata


def test_network_reads_the_world_of_the_first_camera_in_its_unit(monkeypatch) -> None:
    reconstructor = small_reconstructor(scene_scale=2.5)
    video, cameras = clip(1, 5, 28, 28)
    seen = {}

    def record(video, cameras, *, times):
        seen.update(video=video, cameras=cameras, times=times)
        return encode(video, cameras, times=times)

    encode = reconstructor.network.encode
    monkeypatch.setattr(reconstructor.network, "encode", record)
    reconstruct(reconstructor, video, cameras)
    picked = cameras.select([0, 2, 4])
    expected = torch.linalg.inv(picked.camera_to_world[:, :1]) @ picked.camera_to_world
    expected[..., :3, 3] /= 2.5
    torch.testing.assert_close(seen["cameras"].camera_to_world, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen["cameras"].intrinsics, picked.intrinsics)
    assert torch.equal(seen["video"], video[:, [0, 2, 4]])
    assert seen["times"].tolist() == [[0.0, 0.5, 1.0]]


def check_same(first: DeformableGaussianField, second: DeformableGaussianField, atol: float) -> None:
    for name, values in field_values(first).items():
        other = field_values(second)[name]
        if name == "quaternions":  # q and -q are one rotation
            other = other * (values * other).sum(-1, keepdim=True).sign()
        torch.testing.assert_close(values, other, atol=atol, rtol=0, msg=name)


def test_moving_the_world_moves_the_field_and_changes_nothing_else() -> None:
    reconstructor = small_reconstructor(min_opacity=0.0)
    video, cameras = clip(1, 3, 28, 28)
    matrix = rigid(seed=5).float()
    moved = replace(cameras, camera_to_world=matrix @ cameras.camera_to_world)
    field, other = reconstruct(reconstructor, video, cameras), reconstruct(reconstructor, video, moved)
    check_same(field.transform(matrix), other, atol=2e-4)


def test_unit_of_the_cameras_is_the_unit_of_the_field() -> None:
    video, cameras = clip(1, 3, 28, 28)
    matrices = cameras.camera_to_world.clone()
    matrices[..., :3, 3] *= 3
    field = reconstruct(small_reconstructor(min_opacity=0.0, scene_scale=2.0), video, cameras)
    larger = reconstruct(
        small_reconstructor(min_opacity=0.0, scene_scale=6.0),
        video,
        replace(cameras, camera_to_world=matrices),
    )
    check_same(field.transform(torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0]))), larger, atol=2e-4)


def test_times_may_be_any() -> None:
    reconstructor = small_reconstructor(min_opacity=0.0)
    video, cameras = clip(1, 3, 28, 28)
    whole = reconstruct(reconstructor, video, cameras)
    some = reconstruct(reconstructor, video, cameras, times=torch.tensor([0.5, 0.9]))
    assert some.times.tolist() == pytest.approx([0.5, 0.9])
    torch.testing.assert_close(some.delta_means[:, 0], whole.delta_means[:, 1])


def test_faint_gaussians_are_dropped_where_there_is_one_video() -> None:
    video, cameras = clip(2, 3, 28, 28)
    both = reconstruct(small_reconstructor(min_opacity=0.2), video, cameras)
    alone = reconstruct(small_reconstructor(min_opacity=0.2), video[1:], cameras.batch(slice(1, 2)))
    assert both.num_gaussians == 3 * 28 * 28
    expected = both.batch(1).prune(0.2)
    assert 0 < expected.num_gaussians < both.num_gaussians
    check_same(expected.batch(None), alone, atol=1e-4)


def test_budget_is_kept() -> None:
    video, cameras = clip(1, 3, 28, 28)
    field = reconstruct(small_reconstructor(), video, cameras, max_gaussians=101)
    assert field.batch_shape == (1,) and field.num_gaussians == 101


def test_gradients_reach_the_video() -> None:
    video, cameras = clip(1, 2, 28, 28)
    video.requires_grad_()
    field = small_reconstructor()(video, cameras)
    (field.canonical.means.sum() + field.delta_means.sum()).backward()
    assert video.grad.isfinite().all() and video.grad.any()


def test_one_frame_is_a_clip() -> None:
    video, cameras = clip(1, 1, 28, 28)
    field = reconstruct(small_reconstructor(), video, cameras)
    field.validate()
    assert field.times.tolist() == [0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_any_floating_type_does(dtype: torch.dtype) -> None:
    video, cameras = clip(1, 2, 28, 28)
    expected = reconstruct(small_reconstructor(min_opacity=0.0), video.to(dtype).float(), cameras)
    field = reconstruct(
        small_reconstructor(min_opacity=0.0), video.to(dtype), cameras.to(dtype=torch.float64)
    )
    check_same(expected, field, atol=1e-4)
    assert field.dtype == torch.float32


def _with_value(value: float):
    def change(video: torch.Tensor, cameras: Cameras) -> dict:
        video = video.clone()
        video[0, 0, 0, 0, 0] = value
        return {"video": video, "cameras": cameras}

    return change


BAD = {
    "one frame less of cameras": (
        lambda v, c: {"video": v, "cameras": c.select([0])},
        r"cameras must have the batch and frame axes of video \[1, 2\], got \[1, 1\]",
    ),
    "no batch axis of cameras": (
        lambda v, c: {"video": v, "cameras": c.batch(0)},
        r"cameras must have the batch and frame axes of video \[1, 2\], got \[2\]",
    ),
    "cameras of another size": (
        lambda v, c: {"video": v, "cameras": c.resize(28, 30)},
        "cameras must be of the size of video, 28 x 28, got 28 x 30",
    ),
    "no batch axis": (
        lambda v, c: {"video": v[0], "cameras": c},
        r"video must have shape \[batch, frame, 3, height, width\], got \[2, 3, 28, 28\]",
    ),
    "bytes": (lambda v, c: {"video": (v * 255), "cameras": c}, r"video must lie in \[0, 1\], got 0.* to 25"),
    "negative": (_with_value(-0.1), r"video must lie in \[0, 1\], got -0.1 to"),
    "not a number": (_with_value(torch.nan), r"video must lie in \[0, 1\], got nan"),
    "no rotation": (
        lambda v, c: {"video": v, "cameras": replace(c, camera_to_world=2 * c.camera_to_world)},
        "camera_to_world must",
    ),
    "times out of order": (
        lambda v, c: {"video": v, "cameras": c, "times": torch.tensor([0.5, 0.2])},
        r"times must ascend strictly in \[0, 1\]",
    ),
    "times beyond the clip": (
        lambda v, c: {"video": v, "cameras": c, "times": torch.tensor([0.5, 1.2])},
        r"times must ascend strictly in \[0, 1\]",
    ),
    "no time": (
        lambda v, c: {"video": v, "cameras": c, "times": torch.zeros(0)},
        "times must have one axis of at least one time",
    ),
    "no budget": (
        lambda v, c: {"video": v, "cameras": c, "max_gaussians": 0},
        "max_gaussians must be at least 1, got 0",
    ),
    "budget of a batch": (
        lambda v, c: {
            "video": torch.cat((v, v)),
            "cameras": replace(
                c,
                camera_to_world=torch.cat((c.camera_to_world,) * 2),
                intrinsics=torch.cat((c.intrinsics,) * 2),
            ),
            "max_gaussians": 5,
        },
        "max_gaussians needs one video at a time, got 2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_the_network_runs(case: str, without_shape_checker, monkeypatch) -> None:
    reconstructor = small_reconstructor()
    monkeypatch.setattr(reconstructor.network, "encode", None)
    change, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        reconstructor(**change(*clip(1, 2, 28, 28)))


def test_whole_numbers_are_refused(without_shape_checker) -> None:
    video, cameras = clip(1, 2, 28, 28)
    with pytest.raises(TypeError, match="video must be floating point, got torch.uint8"):
        small_reconstructor()((video * 255).to(torch.uint8), cameras)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_views": 0}, "num_views must be at least 1, got 0"),
        ({"frames_per_chunk": 0}, "frames_per_chunk must be at least 1, got 0"),
        ({"size": 30}, "size must be a positive multiple of 14, got 30"),
        ({"scene_scale": 0.0}, "scene_scale must be a positive number, got 0.0"),
        ({"scene_scale": float("nan")}, "scene_scale must be a positive number, got nan"),
        ({"appearance": "last"}, "appearance must be 'mean' or 'static', got 'last'"),
        ({"min_opacity": 1.0}, r"min_opacity must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_options_are_refused(options: dict, words: str, without_shape_checker) -> None:
    with pytest.raises(ValueError, match=words):
        small_reconstructor(**options)


def test_network_must_be_one(without_shape_checker) -> None:
    with pytest.raises(TypeError, match="network must be a MoVieS, got Linear"):
        MoVieSReconstructor(torch.nn.Linear(3, 5))
