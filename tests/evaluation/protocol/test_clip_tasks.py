"""Which extractor each number of a clip comes from, and that it is the number that its name says, by hand."""

import math
from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors import EstimatedPath, ExtractorSpec, ExtractorSuite, Matches
from diff4splat.evaluation.metrics import METRICS
from diff4splat.evaluation.protocol import EvaluationClip, Score
from diff4splat.evaluation.protocol.clip_tasks import clip_tasks, task_rows

SHADES = (0, 1, 3, 6)
CLIP = EvaluationClip("cab/forward", "cab", "forward", "a red cab", 0, "cab.png", "forward.json", "cab.mp4")


def shade(frame: torch.Tensor) -> int:
    return int(frame[0, 0, 0])


def turned(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack((angles.cos(), angles.sin()), -1)


class Told:
    """An extractor that answers by a rule."""

    def __init__(self, name: str, rule, **others) -> None:
        self.spec = ExtractorSpec(name, "", "", "none", trained=False)
        self.rule = rule
        vars(self).update(others)

    def __call__(self, *given: torch.Tensor, **options: object):
        return self.rule(*given, **options)


def along_x(places: tuple[float, ...], turns: tuple[float, ...] = (0, 0, 0, 0)) -> Cameras:
    """Cameras that move sideways and nod."""
    poses = torch.eye(4, dtype=torch.float64).repeat(len(places), 1, 1)
    poses[:, 0, 3] = torch.tensor(places)
    axes = turned(*turns)
    poses[:, 1, 1] = poses[:, 2, 2] = axes[:, 0]
    poses[:, 2, 1], poses[:, 1, 2] = axes[:, 1], -axes[:, 1]
    lens = torch.tensor([[20.0, 0, 8.5], [0, 20, 6.5], [0, 0, 1]], dtype=torch.float64)
    return Cameras(poses, lens.expand(len(places), 3, 3), 13, 17)


def matched(first: torch.Tensor, second: torch.Tensor) -> Matches:
    """As many matches as the shades differ; every second one is five pixels off its epipolar line."""
    count = abs(shade(second) - shade(first))
    off = 5.0 * (torch.arange(count) % 2)
    points = torch.tensor([[3.0, 5.0]]).expand(count, 2)
    return Matches(points, torch.stack((points[:, 0] + 4, points[:, 1] + off), -1))


def flowing(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (shade(second) - shade(first)) * torch.tensor([3.0, 4.0]).expand(13, 17, 2)


def found_path(*_: torch.Tensor, **__: object) -> EstimatedPath:
    """Half a step, one and a half, and a nod of two degrees; the last frame was not found."""
    registered = torch.tensor([True, True, True, False])
    return EstimatedPath(along_x((0, 0.5, 1.5, 99), (0, 0, 2, 77)), registered, "frame 3 was not found")


@pytest.fixture
def suite() -> ExtractorSuite:
    angles = {0: 0.0, 1: 60.0, 3: 90.0, 6: 0.0}
    return ExtractorSuite(
        subject=Told("subject", lambda frames: turned(*(angles[shade(f)] for f in frames))),
        background=Told("background", lambda frames: turned(*(10 * angles[shade(f)] / 6 for f in frames))),
        prompts=Told(
            "prompts",
            lambda frames: turned(*(angles[shade(f)] for f in frames)),
            text=lambda texts: turned(*({"a red cab": 0.0}[text] for text in texts)),
        ),
        beauty=Told("beauty", lambda frames: frames[:, 0, 0, 0].double()),
        levels=Told("levels", lambda frames: torch.tensor([0.0, 0, 0, 0, 1e3])),
        matcher=Told("matcher", matched),
        flow=Told("flow", flowing),
        poses=Told("poses", found_path),
        distance=Told("distance", lambda image, target: (image - target)[:, 0, 0, 0]),
    )


def measured(suite: ExtractorSuite, clip: EvaluationClip = CLIP) -> dict[str, Score]:
    frames = torch.tensor(SHADES, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 13, 17).contiguous()
    tasks = clip_tasks(clip, frames, frames + 10, along_x((0, 1, 2, 3)), suite, "steps")
    rows = [row for task in tasks for row in task_rows(clip, task, True, "")[0]]
    assert len({row.metric for row in rows}) == len(rows)
    return {row.metric: row for row in rows}


def test_every_number_is_that_of_its_name(suite: ExtractorSuite) -> None:
    """Pitfall: where matches with frame 0 and with neighbours are as many, a swap is not seen."""
    root3, c1 = math.sqrt(3), 0.01**2
    same = [(s / 255, (s + 10) / 255) for s in SHADES]
    expected = {
        # frames at 0, 60, 90 and 0 degrees: cosines with the one before and with the first
        "subject_consistency": ((0.5 + 0.5) + (root3 / 2 + 0) + (0 + 1)) / 6,
        "background_consistency": sum(
            math.cos(math.radians(a)) for a in (100, 100, 50, 150, 150, 0) if a < 90
        )
        / 6,
        "clip_score": 100 * (1 + 0.5 + 0 + 1) / 4,
        "clip_aesthetic": 2.5,
        "qa_quality": 1.0,  # surely bad, from 1 to 5
        "matches_first": (1 + 3 + 6) / 3,
        "matches_next": (1 + 2 + 3) / 3,
        "match_inliers": (1 + 2 + 3) / (1 + 3 + 6),
        "dynamic_degree": 5 * (1 + 2 + 3) / 3,
        # steps of 0.5 and 1 where 1 and 1 were asked for: scale 1.5 / 1.25, so 0.6 and 1.2
        "rpe_translation_mean": (0.4 + 0.2) / 2,
        "rpe_translation_rmse": math.sqrt((0.4**2 + 0.2**2) / 2),
        "rpe_rotation_mean_deg": 1.0,
        "rpe_rotation_rmse_deg": math.sqrt(2),
        "registered": 0.75,
        "psnr": 20 * math.log10(255 / 10),
        "ssim": sum((2 * a * b + c1) / (a * a + b * b + c1) for a, b in same) / 4,
        "lpips": -10 / 255,
    }
    rows = measured(suite)
    assert {metric: row.value for metric, row in rows.items()} == pytest.approx(expected, rel=1e-5)
    assert set(rows) <= set(METRICS)
    of_images = {"psnr", "ssim"}
    names = {"clip_score": "prompts", "clip_aesthetic": "beauty", "qa_quality": "levels", "lpips": "distance"}
    names |= {"subject_consistency": "subject", "background_consistency": "background"}
    names |= dict.fromkeys((m for m in rows if m.startswith("match")), "matcher")
    names |= {"dynamic_degree": "flow", "registered": "poses"}
    names |= dict.fromkeys((m for m in rows if m.startswith("rpe_")), "poses")
    keys = {metric: getattr(suite, name).spec.key for metric, name in names.items()}
    assert {m: row.extractor for m, row in rows.items()} == {**keys, **dict.fromkeys(of_images, "")}
    assert {row.problem for row in rows.values()} == {""}


def test_what_was_not_asked_for_has_no_row(suite: ExtractorSuite) -> None:
    assert "clip_score" not in measured(suite, replace(CLIP, prompt=""))
    assert set(measured(ExtractorSuite())) == {"psnr", "ssim"}
