"""The lines of the table, in order, with their goals."""

from diff4splat.evaluation.report import Measure

__all__ = ["MEASURES"]

_GIVEN = "With the true video given (encode, reconstruct, render)"
_TIME = "Time per scene, in batches"


def _views(region: str, title: str) -> tuple[Measure, ...]:
    return (
        Measure(f"{region}_psnr", f"{title}: ours", f"{region}_psnr", _GIVEN, "dB"),
        Measure(f"{region}_psnr_flat_warp", f"{title}: flat warp", f"{region}_psnr_flat_warp", _GIVEN, "dB"),
        Measure(f"{region}_psnr_copy", f"{title}: input copied", f"{region}_psnr_copy", _GIVEN, "dB"),
        Measure(f"{region}_psnr_frozen", f"{title}: ours, frozen", f"{region}_psnr_frozen", _GIVEN, "dB"),
        Measure(
            f"{region}_over_flat_warp",
            f"{title}: ours over flat warp",
            f"{region}_over_flat_warp",
            _GIVEN,
            "dB",
            goal=1.0 if region == "novel" else None,
        ),
        Measure(f"{region}_over_frozen", f"{title}: ours over frozen", f"{region}_over_frozen", _GIVEN, "dB"),
    )


MEASURES = (
    Measure("first_frame_psnr", "first frame PSNR", "first_frame_psnr", _GIVEN, "dB", goal=26.0),
    Measure("depth_pearson", "depth: Pearson", "depth_pearson", _GIVEN, goal=0.75, digits=3),
    Measure("log_depth_pearson", "log-depth: Pearson", "log_depth_pearson", _GIVEN, digits=3),
    Measure("depth_abs_rel", "depth: AbsRel", "depth_abs_rel", _GIVEN, better="lower", digits=3),
    Measure("coverage", "path covered by Gaussians", "coverage", _GIVEN, digits=3),
    *_views("novel", "novel views"),
    *_views("moving", "novel views, moving regions"),
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
        goal=1.0,
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
    Measure("encode_seconds", "encode", "encode_seconds", _TIME, "s", better="lower", digits=3),
    Measure(
        "reconstruct_seconds", "reconstruct", "reconstruct_seconds", _TIME, "s", better="lower", digits=3
    ),
    Measure("render_seconds", "render a frame", "render_seconds", _TIME, "s", better="lower", digits=3),
)
