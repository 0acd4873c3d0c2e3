"""Guidance as words of the configuration file, and back."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from diff4splat.backbones import PretrainedReference
from diff4splat.diffusion import (
    AdaptiveProjectedGuidance,
    ConstantGuidance,
    CosineGuidance,
    Guidance,
    IntervalGuidance,
    ZeroStarGuidance,
)
from diff4splat.pipelines.config import guidance_to_config, read_pipeline_config, reference_to_config
from diff4splat.pipelines.parts import _options

SIZES = {"format_version": 1, "backbone": "compact", "num_frames": 9, "height": 128, "width": 128}


def read(guidance: object, folder: Path) -> Guidance | None:
    path = folder / "pipeline_config.json"
    path.write_text(json.dumps({**SIZES, "guidance": guidance}, allow_nan=False))
    return read_pipeline_config(path)["guidance"]


@pytest.mark.parametrize(
    "guidance",
    [
        None,
        ConstantGuidance(3.0),
        CosineGuidance(maximum=4.0, exponent=2.0, skip_below=1.5),
        IntervalGuidance(CosineGuidance(), 0.1, 0.8),
        ZeroStarGuidance(IntervalGuidance(ConstantGuidance(2.0), stop=0.5)),
        AdaptiveProjectedGuidance(ZeroStarGuidance(CosineGuidance()), parallel=0.5),
        AdaptiveProjectedGuidance(ConstantGuidance(), norm_limit=2.5),
    ],
    ids=str,
)
def test_guidance_comes_back(guidance, tmp_path) -> None:
    assert read(guidance_to_config(guidance), tmp_path) == guidance


def test_words_are_the_options() -> None:
    assert guidance_to_config(IntervalGuidance(ConstantGuidance(2.0), 0.1, 0.8)) == {
        "kind": "interval",
        "guidance": {"kind": "constant", "value": 2.0},
        "start": 0.1,
        "stop": 0.8,
    }


def test_a_user_s_guidance_is_not_saved_as_something_else() -> None:
    @dataclass(frozen=True)
    class LouderGuidance(CosineGuidance):
        pass

    for guidance in (LouderGuidance(), ZeroStarGuidance(LouderGuidance())):
        with pytest.raises(TypeError, match="to be saved, got LouderGuidance"):
            guidance_to_config(guidance)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"kind": "zero_star"}, "guidance has wrong options: .*missing .*'guidance'"),
        ({"kind": "zero_star", "guidance": 3.0}, "guidance has wrong options: guidance must be a guidance"),
        ({"kind": "zero_star", "guidance": {"kind": "loud"}}, "the kind of guidance must be .*, got 'loud'"),
        ({"kind": ["constant"]}, r"the kind of guidance must be .*, got \['constant'\]"),
        ({"kind": "cosine", "maximum": None}, "maximum must be finite and >= 0, got inf"),
        ({"kind": "cosine", "maximum": -1}, "pipeline_config.json: guidance has wrong options: maximum must"),
        ({"kind": "constant", "value": "x"}, "guidance has wrong options"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_damaged_words_are_refused(words, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        read(words, tmp_path)


def test_long_words_beside_a_reference_are_no_path(tmp_path) -> None:
    options = {"negative_prompt": "~.,grey " * 99}
    reference = PretrainedReference("wan2.1", "user/model", None, options)
    words = reference_to_config(reference, tmp_path)
    assert words["negative_prompt"] == options["negative_prompt"]
    assert _options(reference, tmp_path, "backbone", False)["negative_prompt"] == options["negative_prompt"]
