"""The lines of the table, in order, with their goals."""

from diff4splat.evaluation.held_out.report import Measure

__all__ = ["BASELINES", "MEASURES"]

BASELINES = {"nearest": "nearest frame", "frozen": "static field", "flat_warp": "flat warp"}
"""What novel views have to beat, by the end of its columns, in words."""

_GIVEN = "With the true video given (encode, reconstruct, render)"
_GENERATED = "With the video generated from one image"
_TIME = "Time per scene"


def _views(region: str, title: str, *, goal: float | None = None) -> tuple[Measure, ...]:
    def line(key: str, what: str) -> Measure:
        return Measure(f"{region}_{key}", f"{title}: {what}", f"{region}_{key}", _GIVEN, "dB")

    return (
        line("psnr", "ours"),
        *(line(f"psnr_{key}", name) for key, name in BASELINES.items()),
        line("psnr_copy", "input copied"),
        *(line(f"over_{key}", f"ours over {name}") for key, name in BASELINES.items()),
        Measure(
            f"{region}_over_best",
            f"{title}: ours over the best baseline",
            f"{region}_psnr",
            _GIVEN,
            "dB",
            baselines=tuple((f"{region}_psnr_{key}", name) for key, name in BASELINES.items()),
            goal=goal,
        ),
        line("over_best_of_scene", "ours over the best baseline of each scene"),
    )


def _following(name: str, title: str) -> tuple[Measure, ...]:
    return (
        Measure(
            f"{name}_follows_camera",
            f"{title}: commanded view of six is nearest",
            f"{name}_follows_camera",
            _GENERATED,
            share=True,
            goal=1 / 6,
            chance=True,
            digits=3,
        ),
        Measure(
            f"{name}_camera_margin",
            f"{title}: commanded view over next best",
            f"{name}_camera_margin",
            _GENERATED,
            "dB",
        ),
    )


MEASURES = (
    Measure("first_frame_psnr", "first frame PSNR", "first_frame_psnr", _GIVEN, "dB", goal=26.0),
    Measure("later_frames_psnr", "other frames of the video: PSNR", "later_frames_psnr", _GIVEN, "dB"),
    Measure("depth_pearson", "depth: Pearson", "depth_pearson", _GIVEN, goal=0.9, digits=3),
    Measure(
        "near_depth_pearson", "depth without sky and horizon: Pearson", "near_depth_pearson", _GIVEN, digits=3
    ),
    Measure("log_depth_pearson", "log-depth: Pearson", "log_depth_pearson", _GIVEN, digits=3),
    Measure("depth_abs_rel", "depth: AbsRel", "depth_abs_rel", _GIVEN, goal=0.12, better="lower", digits=3),
    Measure("depth_delta1", "depth: within a factor of 1.25", "depth_delta1", _GIVEN, digits=3),
    Measure("coverage", "path covered by Gaussians", "coverage", _GIVEN, digits=3),
    *_views("novel", "novel views"),
    Measure(
        "covered_over_flat_warp",
        "novel views, where covered: ours over flat warp",
        "covered_over_flat_warp",
        _GIVEN,
        "dB",
    ),
    *_views("moving", "novel views, moving regions", goal=3.0),
    Measure("motion_error", "motion error", "motion_error", _GIVEN, "units", better="lower", digits=3),
    Measure(
        "zero_motion_error",
        "error of no motion",
        "zero_motion_error",
        _GIVEN,
        "units",
        better="lower",
        digits=3,
    ),
    Measure(
        "motion_ratio",
        "motion error over no motion",
        "motion_error",
        _GIVEN,
        over="zero_motion_error",
        goal=0.5,
        better="lower",
        digits=3,
    ),
    Measure(
        "motion_improved",
        "scenes with motion better than none",
        "motion_error",
        _GIVEN,
        over="zero_motion_error",
        below_one=True,
        digits=3,
    ),
    Measure(
        "static_motion_error",
        "motion where nothing moves",
        "static_motion_error",
        _GIVEN,
        "units",
        better="lower",
        digits=3,
    ),
    Measure("track_apd", "tracks of surface points: APD", "track_apd", _GIVEN, digits=3),
    Measure(
        "track_epe3d",
        "tracks of surface points: EPE3D",
        "track_epe3d",
        _GIVEN,
        "units",
        better="lower",
        digits=3,
    ),
    Measure(
        "generated_first_frame_psnr",
        "first frame PSNR",
        "generated_first_frame_psnr",
        _GENERATED,
        "dB",
        goal=26.0,
    ),
    *_following("rendered", "rendered scene"),
    *_following("video", "decoded video"),
    Measure(
        "both_prompts_obeyed",
        "left and right: both prompts obeyed",
        "both_prompts_obeyed",
        _GENERATED,
        share=True,
        goal=0.85,
        digits=3,
    ),
    Measure(
        "prompts_obeyed",
        "left and right: share of the prompts obeyed",
        "prompts_obeyed",
        _GENERATED,
        digits=3,
    ),
    Measure(
        "prompt_difference",
        "left or right: motions differ by",
        "prompt_difference",
        _GENERATED,
        "units",
        digits=3,
    ),
    Measure(
        "prompt_shift",
        "left or right: shift to the right",
        "prompt_shift",
        _GENERATED,
        "units",
        digits=3,
    ),
    Measure(
        "prompt_agrees",
        "left or right: further right for right",
        "prompt_agrees",
        _GENERATED,
        share=True,
        digits=3,
    ),
    Measure(
        "agreement_psnr",
        "rendered scene against decoded video",
        "agreement_psnr",
        _GENERATED,
        "dB",
        goal=24.0,
    ),
    Measure("agreement_first_psnr", "the same, first frame", "agreement_first_psnr", _GENERATED, "dB"),
    Measure("agreement_later_psnr", "the same, other frames", "agreement_later_psnr", _GENERATED, "dB"),
    Measure("generate_seconds", "generate", "generate_seconds", _TIME, "s", better="lower", digits=3),
    Measure("encode_seconds", "encode", "encode_seconds", _TIME, "s", better="lower", digits=3),
    Measure(
        "reconstruct_seconds", "reconstruct", "reconstruct_seconds", _TIME, "s", better="lower", digits=3
    ),
    Measure("render_seconds", "render a frame", "render_seconds", _TIME, "s", better="lower", digits=3),
)
