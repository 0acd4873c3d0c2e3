"""The protocol tells a model that knows the truth from one that knows the median depth, line by line."""

import json
from dataclasses import replace

import pytest
import torch
from evaluation.oracle import PUSH, BlindBackbone, Flat, Oracle

from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.evaluation import HeldOutProtocol, Report, evaluate_held_out
from diff4splat.evaluation.held_out import protocol
from diff4splat.evaluation.held_out.measures import BASELINES, MEASURES
from diff4splat.models import LDRM

PROTOCOL = HeldOutProtocol(
    num_scenes=4, num_frames=5, height=32, width=32, num_novel=2, batch_size=3, num_pictures=2, num_steps=1
)


@pytest.fixture(scope="module")
def oracle() -> Report:
    return evaluate_held_out(BlindBackbone(), Oracle(), PROTOCOL)


@pytest.fixture(scope="module")
def flat() -> Report:
    return evaluate_held_out(BlindBackbone(), Flat(), PROTOCOL)


def test_a_device_that_cannot_render_is_refused_before_any_scene_is_made(monkeypatch) -> None:
    def refuse(device: torch.device) -> None:
        raise RuntimeError(f"render needs gsplat on {device}")

    started: list[str] = []
    monkeypatch.setattr(protocol, "require_backend", refuse)
    with pytest.raises(RuntimeError, match="render needs gsplat on cpu"):
        evaluate_held_out(BlindBackbone(), Flat(), PROTOCOL, callback=lambda stage, *_: started.append(stage))
    assert started == []


def test_true_depth_correlates_and_a_wall_does_not(oracle, flat) -> None:
    assert oracle["depth_pearson"].value > 0.9
    assert oracle["depth_abs_rel"].value < 0.1
    assert abs(flat["depth_pearson"].value) < 0.3
    assert oracle["near_depth_pearson"].value > 0.9 and abs(flat["near_depth_pearson"].value) < 0.3
    assert flat["depth_abs_rel"].value > 0.3


def test_true_motion_has_no_error_and_no_motion_all_of_it(oracle, flat) -> None:
    assert oracle["motion_ratio"].value < 0.2  # what silhouettes mix, at 32 pixels
    assert oracle["motion_improved"].value == 1.0
    assert flat["motion_ratio"].value == pytest.approx(1.0, abs=1e-6)
    assert flat["motion_improved"].value == 0.0
    assert oracle["static_motion_error"].value < 0.05
    assert flat["static_motion_error"].value < 0.02, "what is called static moves less than what is not"
    assert flat["motion_error"].value == pytest.approx(flat["zero_motion_error"].value)


def test_true_shape_beats_the_flat_warp_and_a_wall_equals_it(oracle, flat) -> None:
    assert oracle["covered_over_flat_warp"].value > 2
    assert oracle["moving_over_flat_warp"].low > 3
    assert oracle["novel_over_frozen"].low > 0
    # the same picture where the wall reaches, up to the blur of Gaussians; black instead of border elsewhere
    assert flat["covered_over_flat_warp"].value == pytest.approx(0.0, abs=1.0)
    assert flat["novel_over_flat_warp"].value < 0.5
    assert flat["novel_over_frozen"].value == 0.0


def test_baselines_do_not_depend_on_the_model(oracle, flat) -> None:
    for name in ("flat_warp", "copy", "nearest"):
        for key in (f"novel_psnr_{name}", f"moving_psnr_{name}"):
            assert oracle[key] == flat[key]
    assert oracle["zero_motion_error"] == flat["zero_motion_error"]
    assert oracle["moving_psnr_nearest"].value > oracle["moving_psnr_copy"].value


def test_the_best_baseline_is_the_hardest_on_average_and_harder_in_each_scene(oracle, flat) -> None:
    for report in (oracle, flat):
        for region in ("novel", "moving"):
            gains = {name: report[f"{region}_over_{name}"].value for name in BASELINES}
            best = min(gains, key=gains.__getitem__)
            assert report[f"{region}_over_best"].value == pytest.approx(gains[best], abs=1e-5)
            row = next(row for row in report.rows if row.measure.key == f"{region}_over_best")
            assert row.baseline == BASELINES[best]
            assert report[f"{region}_over_best_of_scene"].value <= gains[best] + 1e-6
            columns = [report.scenes[f"{region}_over_{name}"] for name in BASELINES]
            strict = [min(values) for values in zip(*columns, strict=True)]
            assert report.scenes[f"{region}_over_best_of_scene"] == pytest.approx(strict, nan_ok=True)


def test_the_first_frame_is_reproduced_from_one_gaussian_per_pixel(oracle, flat) -> None:
    for report in (oracle, flat):
        assert report["first_frame_psnr"].value > 20
        assert report["generated_first_frame_psnr"].value > 20


def test_prompts_that_are_obeyed_are_told_from_prompts_that_are_not(oracle, flat) -> None:
    assert oracle["prompt_shift"].value == pytest.approx(2 * PUSH, abs=1e-3)
    assert oracle["prompt_difference"].value == pytest.approx(2 * PUSH, abs=1e-3)
    assert oracle["prompt_agrees"].value == 1.0
    assert flat["prompt_shift"].value == 0.0
    assert flat["prompt_agrees"].value == 0.0
    assert flat["both_prompts_obeyed"].value == 0.0 and flat["prompts_obeyed"].value == 0.0
    assert 0 < oracle["prompts_obeyed"].value < 1, "what is pushed also moves by itself"


def test_cameras_that_are_followed_are_told_from_a_grey_video(oracle) -> None:
    assert oracle["rendered_follows_camera"].value == 1.0
    assert oracle["rendered_camera_margin"].low > 1
    assert oracle["video_follows_camera"].value < 1.0


def test_rows_do_not_depend_on_the_batch_and_progress_is_told(flat) -> None:
    one = HeldOutProtocol(**{**vars(PROTOCOL), "batch_size": 1, "num_scenes": 2, "part": "reconstruction"})
    told: list[tuple[str, int, int]] = []
    alone = evaluate_held_out(
        BlindBackbone(), Flat(), one, callback=lambda stage, done, total: told.append((stage, done, total))
    )
    assert told == [("true video", done, 2) for done in (0, 1, 2)]
    for name, values in alone.scenes.items():
        if not name.endswith("_seconds"):
            assert values == pytest.approx(flat.scenes[name][:2], abs=1e-3, nan_ok=True)


class NoiseBackbone(BlindBackbone):
    """Latents are noise; the video is one grey that depends on it."""

    def generate(self, image, cameras, prompt=None, *, generator=None, **options) -> torch.Tensor:
        return torch.randn(super().generate(image, cameras, prompt, **options).shape, generator=generator)

    def decode(self, latents) -> torch.Tensor:
        grey = latents.mean((1, 2, 3, 4)).sigmoid()[:, None, None, None, None]
        return grey * torch.ones_like(super().decode(latents))


def test_noise_of_a_scene_does_not_depend_on_the_batch() -> None:
    settings = {**vars(PROTOCOL), "num_scenes": 3, "part": "generation"}
    together, alone = (
        evaluate_held_out(NoiseBackbone(), Flat(), HeldOutProtocol(**{**settings, "batch_size": size}))
        for size in (3, 1)
    )
    assert len(set(together.scenes["agreement_psnr"])) == 3
    assert alone.scenes["agreement_psnr"] == pytest.approx(together.scenes["agreement_psnr"], abs=1e-3)


def test_settings_picture_and_every_line_are_in_the_report(oracle) -> None:
    assert [row.measure for row in oracle.rows] == list(MEASURES)
    assert json.loads(oracle.to_json())["settings"]["num_scenes"] == 4
    height, width = oracle.picture.shape[1:]  # two rows of five, below and beside words
    assert height > 2 * (32 + 4) and width > 5 * (32 + 4)
    assert len(oracle.scenes["seed"]) == 4


@pytest.mark.parametrize(
    ("part", "absent"), [("reconstruction", "prompt_shift"), ("generation", "depth_pearson")]
)
def test_real_parts_run_through(part, absent) -> None:
    torch.manual_seed(0)
    dit = CompactDiT(dim=32, num_layers=1, num_heads=2, num_key_value_heads=1)
    ldrm = LDRM(dim=32, num_layers=4, num_heads=2, num_key_value_heads=1, head_width=8, pixel_width=8)
    protocol = HeldOutProtocol(
        num_scenes=1, num_frames=5, height=32, width=32, num_novel=1, num_steps=1, part=part
    )
    report = evaluate_held_out(CompactBackbone(CausalVideoVAE(), dit), ldrm, protocol)
    assert absent not in {row.measure.key for row in report.rows}
    if part == "reconstruction":  # a fresh model predicts no motion
        assert report["motion_ratio"].value == pytest.approx(1.0, abs=1e-5)
    else:
        assert 0 < report["generated_first_frame_psnr"].value < 100


def test_what_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be 4k\\+1"):
        evaluate_held_out(BlindBackbone(), Flat(), HeldOutProtocol(num_frames=6))
    with pytest.raises(ValueError, match="height must be a multiple of 8"):
        evaluate_held_out(BlindBackbone(), Flat(), HeldOutProtocol(height=30))
    with pytest.raises(ValueError, match="num_scenes must be at least 1"):
        evaluate_held_out(BlindBackbone(), Flat(), HeldOutProtocol(num_scenes=0))


class Broken(Flat):
    """One Gaussian of the second scene has no place."""

    def __call__(self, *given, **options):
        field = super().__call__(*given, **options)
        means = field.canonical.means.clone()
        means[-1, 3, 2] = torch.nan
        return replace(field, canonical=replace(field.canonical, means=means))


@pytest.mark.parametrize("part", ["reconstruction", "generation"])
def test_a_broken_field_is_an_error_and_not_a_scene_less(part) -> None:
    protocol = HeldOutProtocol(**{**vars(PROTOCOL), "num_scenes": 2, "part": part})
    with pytest.raises(ValueError, match="means must be finite"):
        evaluate_held_out(BlindBackbone(), Broken(), protocol)


class BrokenVideo(BlindBackbone):
    """A decoder whose last frame is infinite."""

    def decode(self, latents):
        video = super().decode(latents)
        video[:, -1] = torch.inf
        return video


def test_a_broken_video_is_an_error() -> None:
    protocol = HeldOutProtocol(**{**vars(PROTOCOL), "num_scenes": 1, "part": "generation"})
    with pytest.raises(ValueError, match="backbone.decode must give finite colours"):
        evaluate_held_out(BrokenVideo(), Flat(), protocol)
