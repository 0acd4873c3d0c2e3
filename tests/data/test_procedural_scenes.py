import dataclasses

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.data import HELD_OUT_SEEDS, procedural_sample, sample_cameras, sample_scenes
from diff4splat.geometry import project, unproject

SEEDS = [2, 3, 5, 7, 11]
HEIGHT, WIDTH, FRAMES = 37, 43, 3


@pytest.fixture(scope="module")
def rendered():
    scenes = sample_scenes(SEEDS, texture_size=16)
    cameras = sample_cameras(SEEDS, FRAMES, height=HEIGHT, width=WIDTH)
    times = torch.tensor([0.0, 0.41, 1.0])
    return scenes, cameras, times, scenes.render(cameras, times)


def test_shapes_ranges_and_dtypes(rendered):
    scenes, _, _, frames = rendered
    assert frames.color.shape == (len(SEEDS), FRAMES, 3, HEIGHT, WIDTH)
    assert frames.color.dtype == frames.depth.dtype == torch.float32
    assert frames.color.min() >= 0 and frames.color.max() <= 1 and frames.color.std() > 0.05
    assert torch.isfinite(frames.depth).all() and frames.depth.min() > 0.1 and frames.depth.max() < 60
    assert frames.object_index.min() == 0 and frames.object_index.max() >= 1
    assert all(caption.isascii() and caption == caption.lower() for caption in scenes.captions)


def test_a_scene_does_not_depend_on_its_batch(rendered):
    scenes, cameras, times, frames = rendered
    alone = sample_scenes([SEEDS[3]], texture_size=16)
    assert alone.captions[0] == scenes.captions[3]
    path = sample_cameras([SEEDS[3]], FRAMES, height=HEIGHT, width=WIDTH)
    torch.testing.assert_close(path.camera_to_world, cameras.camera_to_world[3:4])
    again = alone.render(path, times)
    torch.testing.assert_close(again.depth[0], frames.depth[3], atol=1e-4, rtol=1e-4)
    assert (again.object_index[0] == frames.object_index[3]).float().mean() > 0.999
    assert (again.color[0] - frames.color[3]).abs().mean() < 1e-4


def test_chunks_do_not_change_the_picture(rendered):
    scenes, cameras, times, frames = rendered
    chunked = scenes.render(cameras, times, max_rays=1)
    assert (chunked.color - frames.color).abs().mean() < 1e-4
    torch.testing.assert_close(chunked.depth, frames.depth, atol=1e-4, rtol=1e-4)


def test_seeds_that_share_their_low_bits_differ():
    seeds = [5, 5 + 2**32, 5 + 2**40]
    sizes = sample_scenes(seeds, texture_size=8).size
    assert not torch.allclose(sizes[0], sizes[1]) and not torch.allclose(sizes[0], sizes[2])


def test_held_out_seeds_lie_beyond_training():
    assert HELD_OUT_SEEDS.start == 2**40 and len(HELD_OUT_SEEDS) >= 1000


def test_first_camera_is_the_identity_and_paths_are_rigid():
    cameras = sample_cameras(range(50), 7, height=31, width=47)
    torch.testing.assert_close(
        cameras.camera_to_world[:, 0], torch.eye(4).expand(50, 4, 4), atol=1e-6, rtol=0
    )
    cameras.validate()
    distance = cameras.camera_to_world[..., :3, 3].norm(dim=-1)
    assert (distance[:, -1] > 0.05).float().mean() > 0.5
    wide = sample_cameras([116, 229, 880, *range(50)], 7, height=31, width=47, max_translation=0.3)
    farthest = wide.camera_to_world[..., :3, 3].norm(dim=-1).amax(1)
    torch.testing.assert_close(farthest[:3], torch.full((3,), 0.3), atol=1e-6, rtol=0)  # would go beyond
    assert farthest.max() < 0.3 + 1e-6


def bare_scene(scenes):
    """The scene with all objects removed and a level view, in the open."""
    far = torch.full_like(scenes.lighting.room_low, 200.0)
    high = far.clone()
    high[:, 1] = 1.5
    lighting = dataclasses.replace(
        scenes.lighting, room_low=-far, room_high=high, dome_radius=torch.full_like(far[:, 0], 40.0)
    )
    identity = torch.eye(3).expand_as(scenes.level_from_world)
    return dataclasses.replace(
        scenes, size=torch.zeros_like(scenes.size), lighting=lighting, level_from_world=identity
    )


def level_camera(num_scenes, focal=20.0):
    intrinsics = torch.tensor([[focal, 0.0, WIDTH / 2], [0.0, focal, HEIGHT / 2], [0.0, 0.0, 1.0]])
    return Cameras(
        camera_to_world=torch.eye(4).expand(num_scenes, 1, 4, 4),
        intrinsics=intrinsics.expand(num_scenes, 1, 3, 3),
        height=HEIGHT,
        width=WIDTH,
    )


def test_depth_of_the_ground_in_closed_form():
    scenes = bare_scene(sample_scenes([13], texture_size=8))
    depth = scenes.render(level_camera(1), torch.zeros(1)).depth[0, 0]
    row = torch.arange(HEIGHT) + 0.5
    below = row - HEIGHT / 2 >= 2
    expected = 1.5 * 20.0 / (row - HEIGHT / 2)  # z = camera height x focal length / rows below the horizon
    torch.testing.assert_close(depth[below], expected[below, None].expand(-1, WIDTH), rtol=1e-4, atol=0)


def test_depth_of_a_ball_in_closed_form():
    scenes = bare_scene(sample_scenes([17], texture_size=8))
    radius, distance = 0.8, 3.0
    size, shape, center = scenes.size.clone(), scenes.shape.clone(), scenes.motion.center.clone()
    size[:, 0], shape[:, 0], center[:, 0] = radius, 0, torch.tensor([0.0, 0.0, distance])
    motion = dataclasses.replace(scenes.motion, center=center)
    scenes = dataclasses.replace(scenes, size=size, shape=shape, motion=motion)
    frames = scenes.render(level_camera(1), torch.zeros(1))
    # the ray through the middle pixel is x = 0 (odd width and height put a pixel centre on the axis)
    middle = frames.depth[0, 0, HEIGHT // 2, WIDTH // 2]
    torch.testing.assert_close(middle, torch.tensor(distance - radius), atol=1e-4, rtol=0)
    assert frames.object_index[0, 0, HEIGHT // 2, WIDTH // 2] == scenes.object_index[0, 0]


@pytest.mark.parametrize("pair", [(0, 2), (2, 0), (1, 2)])
def test_points_carried_by_their_objects_are_found_in_other_views(rendered, pair):
    """Unproject in one frame, move to the time of another, project there: depth and object agree."""
    scenes, cameras, times, frames = rendered
    start, end = pair
    points = unproject(
        frames.depth[:, start], cameras.camera_to_world[:, start], cameras.intrinsics[:, start]
    ).flatten(1, 2)
    index = frames.object_index[:, start].flatten(1)
    from_times, to_times = torch.full(index.shape, times[start]), torch.full(index.shape, times[end])
    moved = scenes.move(points, index, from_times, to_times)
    paths = scenes.trajectories(points, index, from_times[:, 0], to_times[:, :1])
    torch.testing.assert_close(paths[:, 0], moved, atol=1e-4, rtol=1e-4)

    # ask the scene itself what a camera sees along the exact ray to each moved point
    for scene in range(len(SEEDS)):
        chosen = torch.arange(0, HEIGHT * WIDTH, 17)
        pixels, depth = project(
            moved[scene, chosen], cameras.camera_to_world[scene, end], cameras.intrinsics[scene, end]
        )
        inside = (pixels >= 0).all(-1) & (pixels < torch.tensor([WIDTH, HEIGHT])).all(-1) & (depth > 0.1)
        pixels, depth, chosen = pixels[inside], depth[inside], chosen[inside]
        count = len(chosen)
        intrinsics = cameras.intrinsics[scene, end].repeat(count, 1, 1)
        intrinsics[:, :2, 2] += 0.5 - pixels  # one-pixel cameras that look exactly at the points
        view = Cameras(
            camera_to_world=cameras.camera_to_world[scene, end].expand(1, count, 4, 4),
            intrinsics=intrinsics[None],
            height=1,
            width=1,
        )
        seen = scenes.select(slice(scene, scene + 1)).render(view, times[end].expand(count))
        surface = seen.depth.flatten()
        assert (surface <= depth * (1 + 2e-3) + 1e-3).all()  # nothing is seen through
        visible = surface > depth * (1 - 2e-3) - 1e-3
        assert visible.float().mean() > 0.7
        same = seen.object_index.flatten()[visible] == index[scene, chosen][visible]
        assert same.float().mean() > 0.97  # contact lines may go either way


def test_colour_travels_with_a_spinning_object():
    scenes = sample_scenes(range(23, 43), texture_size=16)
    cameras = sample_cameras(range(23, 43), 2, height=61, width=61, static_probability=1.0)
    lighting = dataclasses.replace(
        scenes.lighting,
        light_color=torch.zeros_like(scenes.lighting.light_color),
        ambient_down=scenes.lighting.ambient_up,
        haze=torch.zeros_like(scenes.lighting.haze),
    )
    scenes = dataclasses.replace(scenes, lighting=lighting)
    frames = scenes.render(cameras, torch.tensor([0.0, 1.0]))
    points = unproject(frames.depth[:, 0], cameras.camera_to_world[:, 0], cameras.intrinsics[:, 0]).flatten(
        1, 2
    )
    index = frames.object_index[:, 0].flatten(1)
    moved = scenes.move(points, index, torch.zeros(index.shape), torch.ones(index.shape))
    pixels, depth = project(moved, cameras.camera_to_world[:, 1], cameras.intrinsics[:, 1])
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (column < 61) & (row >= 0) & (row < 61)
    target = row.clamp(0, 60) * 61 + column.clamp(0, 60)
    surface = frames.depth[:, 1].flatten(1).gather(1, target)
    reached = frames.object_index[:, 1].flatten(1).gather(1, target)
    shown = inside & (index > 0) & (reached == index) & ((surface / depth - 1).abs() < 0.01)
    color = frames.color.flatten(-2).transpose(-1, -2)
    there = color[:, 1].gather(1, target[..., None].expand(-1, -1, 3))
    error = (there - color[:, 0]).abs().mean(-1)[shown].mean()
    stays = (color[:, 1] - color[:, 0]).abs().mean(-1)[index > 0].mean()
    assert shown.sum() > 1000
    assert error < 0.5 * stays  # carried colours agree; leaving points in place would not


def test_caption_names_the_direction_of_the_main_object():
    scenes = sample_scenes(range(300), texture_size=8)
    words = {
        0: (("left",), -1),
        1: (("falls", "moves down", "drops", "sinks down"), 1),
        2: (("comes closer", "towards the camera", "approaches", "forward to the viewer"), -1),
    }
    opposite = {
        0: ("right",),
        1: ("rises", "moves up", "upwards", "goes up"),
        2: ("drifts away", "away from", "recedes", "further away"),
    }
    seen = 0
    for caption, direction in zip(scenes.captions, scenes.main_direction.tolist(), strict=True):
        first = caption.split(" and ")[0]
        if any(word in first for word in ("rocks", "back and forth", "up and down")):
            assert direction == [0.0, 0.0, 0.0]
            continue
        for axis, (names, sign) in words.items():
            if any(name in first for name in names):
                assert direction[axis] * sign > 0.5, caption
                seen += 1
            if any(name in first for name in opposite[axis]):
                assert direction[axis] * sign < -0.5, caption
                seen += 1
    assert seen > 150


def test_static_scenes_stand_still():
    scenes = sample_scenes(SEEDS, texture_size=8, static=True)
    points = torch.ones(len(SEEDS), 5, 3)
    index = torch.tensor([0, 1, 2, 3, 1]).expand(len(SEEDS), 5)
    moved = scenes.move(points, index, torch.zeros(len(SEEDS), 5), torch.ones(len(SEEDS), 5))
    torch.testing.assert_close(moved, points, atol=1e-5, rtol=0)
    assert scenes.main_direction.abs().max() == 0


def test_movers_are_seen():
    sample = procedural_sample(list(range(100, 124)), num_frames=2, height=48, width=48)
    share = (sample["object_index"] == 1).float().mean((-2, -1))
    assert (share[:, 0] > 0.005).float().mean() > 0.85
    assert (share[:, 1] > 0.002).float().mean() > 0.8


def test_sample_has_the_documented_keys():
    sample = procedural_sample(19, num_frames=3, height=29, width=31, num_tracks=13)
    assert sample["video"].shape == (1, 3, 3, 29, 31)
    assert sample["tracks"].shape == (1, 3, 13, 3)
    assert sample["track_visibility"].shape == (1, 3, 13)
    assert sample["track_visibility"][:, 0].all()  # tracks start on what frame 0 shows
    assert sample["times"].tolist() == [[0.0, 0.5, 1.0]]
    assert len(sample["caption"]) == 1


def test_supersampling_averages_colour_only(rendered):
    scenes, cameras, times, frames = rendered
    finer = scenes.render(cameras, times, supersample=2)
    torch.testing.assert_close(finer.depth, frames.depth)
    assert 0 < (finer.color - frames.color).abs().mean() < 0.06


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texture_size": 12}, "texture_size"),
        ({"num_objects": (3, 2)}, "num_objects"),
        ({"motion_scale": -1.0}, "motion_scale"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sample_scenes([1], **options)


def test_bad_seeds_are_named():
    with pytest.raises(ValueError, match="at least one seed"):
        sample_scenes([])
    with pytest.raises(ValueError, match="seeds must lie"):
        sample_scenes([-1])
    with pytest.raises(ValueError, match="num_frames"):
        sample_cameras([1], 0, height=8, width=8)


def test_cameras_and_times_must_fit(rendered):
    scenes, cameras, times, _ = rendered
    with pytest.raises(ValueError, match="cameras must have batch shape"):
        scenes.select(slice(0, 2)).render(cameras, times)
    with pytest.raises(ValueError, match="times must have 3 entries"):
        scenes.render(cameras, times[:2])
    with pytest.raises(ValueError, match="times must lie in"):
        scenes.render(cameras, times + 0.5)


def test_tops_share_the_motion_of_what_they_sit_on():
    """The distance between the centres of a mover and its top stays the same while both move."""
    scenes = sample_scenes(range(40), texture_size=8)
    placement = scenes.placement(torch.tensor([[0.0, 0.37, 1.0]]).expand(40, 3))
    apart = (placement.center[:, :, 0] - placement.center[:, :, 8]).norm(dim=-1)
    topped = (scenes.size[:, 8] > 0).all(-1) & (scenes.object_index[:, 0] == 1)
    assert topped.sum() > 5
    torch.testing.assert_close(apart[topped, 1:], apart[topped, :1].expand(-1, 2), rtol=1e-4, atol=0)
    turned = placement.center[topped, 2, 8] - placement.center[topped, 0, 8]
    assert (turned.norm(dim=-1) > 0.05).any()
    assert (scenes.object_index[topped, 8] == 1).all()


def test_first_place_does_not_give_the_direction_away():
    scenes = sample_scenes(range(1500), texture_size=8)
    place = (scenes.motion.center[:, :1] @ scenes.level_from_world).squeeze(1)  # in the world frame
    sideways = place[:, 0] / place[:, 2]
    right, left = scenes.main_direction[:, 0] > 0.8, scenes.main_direction[:, 0] < -0.8
    assert right.sum() > 150 and left.sum() > 150
    assert (sideways[right].mean() - sideways[left].mean()).abs() < 0.06  # standard error 0.015


def test_photographs_change_looks_only():
    pytest.importorskip("skimage")
    plain = sample_scenes(SEEDS, texture_size=16)
    painted = sample_scenes(SEEDS, texture_size=16, photographs=True)
    assert plain.captions == painted.captions
    torch.testing.assert_close(plain.motion.travel, painted.motion.travel)
    changed = (plain.surfaces.texels != painted.surfaces.texels).any(-1).any(-1)
    assert changed.any(dim=0).sum() > 5 and not changed[:, [2, 3, 4]].any()  # clouds and named objects stay
    tile = painted.surfaces.texels[changed][:, : 16 * 16].unflatten(1, (16, 16))
    torch.testing.assert_close(tile, tile.flip(2))  # mirrored, hence without a seam
