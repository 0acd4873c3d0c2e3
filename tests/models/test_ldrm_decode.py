"""From what was encoded to the field: which frames and times are used, the backdrop, the type of geometry."""

from dataclasses import replace

import pytest
import torch
from models.parts import field_values, latents, path, small_ldrm

from diff4splat.cameras import Cameras
from diff4splat.models import LDRM, backdrop_gaussians, map_depth, map_displacement, seen_before

FRAMES, HEIGHT, WIDTH = 9, 32, 48


def moving_ldrm(**options) -> LDRM:
    """Displacements of about the size of the scene."""
    model = small_ldrm(num_layers=1, **options)
    with torch.no_grad():
        for parameter in model.deformation_head.output.parameters():
            parameter *= 20
    return model


def clip() -> tuple[torch.Tensor, Cameras]:
    return latents(1, 3, 3, 4, 6), path(1, FRAMES, HEIGHT, WIDTH)


def photo(height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("every_frame", [False, True])
def test_places_are_compared_as_they_moved_to_the_times_of_the_frames(
    every_frame, autocast, monkeypatch
) -> None:
    """Whether these times are known to be among the target times or not, and in the type of geometry."""
    model = moving_ldrm(every_frame=every_frame).float()
    encoded = model.encode(*clip())
    raw = model.deform(encoded, encoded.frame_times)
    depth = map_depth(encoded.gaussian_map)
    expected = map_displacement(raw, depth, encoded.cameras)
    given = []

    def record(depth: torch.Tensor, displacement: torch.Tensor, cameras: Cameras) -> torch.Tensor:
        given.append(displacement)
        return seen_before(depth, displacement, cameras)

    monkeypatch.setattr("diff4splat.models.field_decoding.seen_before", record)
    times = torch.linspace(0, 1, FRAMES)
    maps = model.deform(encoded, times[None])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        model.decode(encoded, deformation=maps)
        if not autocast:  # the network, which autocast does reach, runs again for these
            model.decode(encoded, times[[0, 3]])
    assert len(given) == (1 if autocast else 2)
    for displacement in given:
        torch.testing.assert_close(displacement, expected, atol=1e-5, rtol=1e-5)


def test_autocast_does_not_reach_the_geometry() -> None:
    model = moving_ldrm(backdrop_cells=3).float()
    encoded = model.encode(*clip())
    times = torch.linspace(0, 1, FRAMES)
    given = {"deformation": model.deform(encoded, times[None]), "image": photo()}
    expected = model.decode(encoded, **given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = model.decode(encoded, **given)
    for first, second in zip(field_values(field).values(), field_values(expected).values(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("photographed", [False, True])
def test_backdrop_lies_behind_the_first_frame_in_the_world(photographed) -> None:
    model = moving_ldrm(backdrop_cells=3)
    z, cameras = clip()
    encoded = model.encode(z, cameras)
    image = photo() if photographed else None
    field = model.decode(encoded, image=image)
    first = encoded.gaussian_map[:, 0]
    expected = backdrop_gaussians(
        (first[:, 1:4] + 0.5).clamp(0, 1) if image is None else image,
        map_depth(first),
        cameras.select(0),
        cells=3,
    )
    count = expected.num_gaussians
    for name in ("means", "quaternions", "scales", "opacities", "harmonics"):
        last = getattr(field.canonical, name)[:, -count:]
        torch.testing.assert_close(last, getattr(expected, name), atol=1e-10, rtol=0)


def test_the_backdrop_is_part_of_the_budget() -> None:
    model = moving_ldrm(backdrop_cells=4)
    image, budget = photo(96, 144), 12_000
    field = model(*clip(), image=image, max_gaussians=budget)
    kept = int((field.canonical.opacities > 0).sum())
    first = field.num_gaussians - 2 * 16 * 24 - 8 * 8
    assert first > 0.9 * budget, "the budget, not the share of the first frame, is what binds"
    assert budget - 9 < kept <= budget


def test_clips_are_selected_with_all_that_belongs_to_them() -> None:
    model = moving_ldrm()
    cameras = path(2, FRAMES, HEIGHT, WIDTH)
    encoded = model.encode(latents(2, 3, 3, 4, 6), cameras)
    # clips of a batch may differ in their lenses and, decoded apart, in the times of their frames
    encoded = replace(encoded, frame_times=encoded.frame_times * torch.tensor([[1.0], [0.7]]))
    one = encoded.select(slice(1, 2))
    assert torch.equal(one.frame_times, encoded.frame_times[1:])
    assert torch.equal(one.cameras.camera_to_world, encoded.cameras.camera_to_world[1:])
    assert torch.equal(one.origin, cameras.camera_to_world[1:, 0])
