"""Agreement of scene and video, and prompts that are obeyed: values against loops, and what they ignore."""

import numpy as np
import pytest
import torch
from reference import evaluation_metrics as reference

from diff4splat.evaluation.held_out.generation import agreement_rows, prompt_rows

HEIGHT, WIDTH = 5, 7
EVERYWHERE = np.ones((HEIGHT, WIDTH), dtype=bool)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_agreement_matches_reference(generator) -> None:
    rendered, decoded = torch.rand(2, 2, 3, 3, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    rows = agreement_rows(rendered, decoded)
    for scene in range(2):
        scores = [
            reference.psnr(rendered[scene, frame].numpy(), decoded[scene, frame].numpy(), EVERYWHERE)
            for frame in range(3)
        ]
        assert rows["agreement_psnr"][scene].item() == pytest.approx(sum(scores) / 3, abs=1e-9)
        assert rows["agreement_first_psnr"][scene].item() == pytest.approx(scores[0], abs=1e-9)
        assert rows["agreement_later_psnr"][scene].item() == pytest.approx(sum(scores[1:]) / 2, abs=1e-9)


def test_agreement_is_of_frames_at_the_same_time(generator) -> None:
    video = torch.rand(1, 5, 3, HEIGHT, WIDTH, generator=generator)
    order = torch.tensor([0, 3, 1, 4, 2])
    same, shuffled = (agreement_rows(video[:, order], other) for other in (video[:, order], video))
    assert same["agreement_psnr"].item() == pytest.approx(100.0)
    assert shuffled["agreement_first_psnr"].item() == pytest.approx(100.0)
    assert shuffled["agreement_later_psnr"].item() < 20


@pytest.fixture
def main_object(generator) -> torch.Tensor:
    mask = torch.rand(3, HEIGHT, WIDTH, generator=generator) < 0.8
    mask[2] = False
    mask[2].view(-1)[:15] = True  # one pixel too few
    return mask


def moved(generator, *shifts: tuple[float, float, float]) -> torch.Tensor:
    """Displacements about one shift per scene."""
    noise = 0.3 * torch.randn(len(shifts), HEIGHT, WIDTH, 3, generator=generator, dtype=torch.float64)
    return noise + torch.tensor(shifts, dtype=torch.float64)[:, None, None]


def test_prompt_rows_match_reference(generator, main_object) -> None:
    left = moved(generator, (-1.0, 0.3, 0.2), (0.4, 0.0, 0.0), (-1.0, 0.0, 0.0))
    right = moved(generator, (0.9, -0.2, 0.4), (0.9, -0.3, 0.2), (1.0, 0.0, 0.0))
    rows = prompt_rows(left, right, main_object)
    for scene in range(2):
        mask = main_object[scene].numpy()
        ends = [reference.mean_displacement(side[scene].numpy(), mask) for side in (left, right)]
        obeyed = [
            reference.obeys(end, np.array([sign, 0.0, 0.0])) for end, sign in zip(ends, (-1, 1), strict=True)
        ]
        assert rows["prompts_obeyed"][scene].item() == sum(obeyed) / 2
        assert rows["both_prompts_obeyed"][scene].item() == all(obeyed)
        assert rows["prompt_shift"][scene].item() == pytest.approx(ends[1][0] - ends[0][0], abs=1e-12)
        distance = reference.end_point_error(left[scene].numpy(), right[scene].numpy(), mask)
        assert rows["prompt_difference"][scene].item() == pytest.approx(distance, abs=1e-12)
    # the second scene goes right whatever it is told, but further if told so
    assert rows["prompts_obeyed"][:2].tolist() == [1.0, 0.5]
    assert rows["both_prompts_obeyed"][:2].tolist() == [1.0, 0.0]
    assert rows["prompt_agrees"][:2].tolist() == [1.0, 1.0]
    assert all(values[2].isnan() for values in rows.values()), "too few pixels show the object"


@pytest.mark.parametrize(
    ("shift", "obeyed"),
    [
        ((0.021, 0.0, 0.0), 1.0),
        ((0.019, 0.0, 0.0), 0.0),  # too short to be motion
        ((0.1, 0.09, 0.0), 1.0),
        ((0.1, 0.0, -0.11), 0.0),  # more towards the camera than to the right
        ((-0.1, 0.0, 0.0), 0.0),
    ],
)
def test_where_a_prompt_stops_being_obeyed(shift, obeyed) -> None:
    right = torch.tensor(shift).expand(1, HEIGHT, WIDTH, 3)
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    rows = prompt_rows(right * mirror, right, everywhere)
    assert rows["both_prompts_obeyed"].item() == obeyed and rows["prompts_obeyed"].item() == obeyed


def test_only_the_main_object_counts(generator, main_object) -> None:
    left, right = (moved(generator, (sign, 0.0, 0.0), (sign, 0.0, 0.0), (sign, 0.0, 0.0)) for sign in (-1, 1))
    elsewhere = torch.where(main_object[..., None], left, torch.full_like(left, torch.nan))
    once, again = (prompt_rows(given, right, main_object) for given in (left, elsewhere))
    for name, values in once.items():
        torch.testing.assert_close(values, again[name], equal_nan=True)
