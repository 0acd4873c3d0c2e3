import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from assets.watermark_clips import scene_clips, through_x264, to_8_bits
from reference.assets_watermark import residual, score
from scipy import stats

from diff4splat.assets import Watermark, detect_watermark, embed_watermark, watermark_detection
from diff4splat.assets.watermark_detection import FoldedTile, best_shift, chip_residuals, folded_tiles

NUMBER = 0xABCDEF12


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    return scene_clips(4)


@pytest.fixture(scope="module")
def marked(clips: list[torch.Tensor]) -> list[torch.Tensor]:
    return [to_8_bits(embed_watermark(clip, Watermark(payload=NUMBER))) for clip in clips]


def resized(video: torch.Tensor, factor: float) -> torch.Tensor:
    return F.interpolate(video, scale_factor=factor, mode="bicubic", antialias=True).clamp(0, 1)


# --- what it is


def test_score_is_that_of_the_loop():
    frames = torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = chip_residuals(frames)[0]
    np.testing.assert_allclose(found.numpy(), residual(frames.numpy()), atol=1e-9)
    large = torch.rand(300, 270, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    decision = best_shift(folded_tiles(large), "key", 1e-6)
    rows, columns = decision.offset
    seen = large.flip(-1) if decision.mirrored else large
    assert decision.score == pytest.approx(score(seen.numpy(), "key", (-rows, -columns)), rel=1e-9)


def test_a_mark_is_found_and_its_number_read(marked):
    for clip in marked:
        decision = detect_watermark(clip)
        assert decision.detected and decision.verdict == "marked" and decision.probe_score is None
        assert decision.p_value <= decision.false_positive_rate == 1e-6
        assert (decision.offset, decision.scale, decision.mirrored) == ((0, 0), 1.0, False)
    assert sum(detect_watermark(clip).payload == NUMBER for clip in marked) >= 3


@pytest.mark.parametrize("crf", [18, 28])
def test_a_mark_survives_the_codec(marked, crf):
    assert all(detect_watermark(through_x264(clip, crf)).detected for clip in marked)


def test_a_stronger_mark_scores_higher(clips):
    scores = [
        detect_watermark(embed_watermark(clips[0], Watermark(strength=strength))).score
        for strength in (0.5, 1.0, 2.0)
    ]
    assert scores[0] < scores[1] < scores[2]


# --- what it survives


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda video: video[:1], {}),
        (lambda video: 0.7 * video + 0.2, {}),
        (lambda video: video.mean(dim=1, keepdim=True).expand_as(video), {}),
        (lambda video: video.flip(-1), {"mirrored": True}),
        (lambda video: video[..., 41:, 30:], {"offset": (41, 30)}),
        (lambda video: F.pad(video, (11, 0, 3, 0)), {"offset": (253, 245)}),
        (lambda video: resized(video, 0.75), {"scale": 0.75}),
        (lambda video: resized(video, 1.5), {"scale": 1.5}),
    ],
    ids=["one frame", "contrast", "grey", "mirrored", "cropped", "padded", "smaller", "larger"],
)
def test_a_mark_survives(change, expected):
    clip = to_8_bits(embed_watermark(scene_clips(1, size=384, num_frames=2)[0], Watermark(payload=NUMBER)))
    decision = detect_watermark(to_8_bits(change(clip)))
    assert decision.verdict == "marked"
    assert {name: getattr(decision, name) for name in expected} == expected


def test_resized_pictures_are_looked_for_only_if_asked(marked):
    small = to_8_bits(resized(marked[0], 1.5))
    assert not detect_watermark(small, search_scales=False).detected
    assert detect_watermark(small).detected


# --- what is not marked


def test_other_keys_and_unmarked_clips_are_not_found(clips, marked):
    for clip in marked:
        decision = detect_watermark(clip, key="another key", search_scales=False)
        assert not decision.detected and decision.payload is None and decision.p_value > 1e-4
    decision = detect_watermark(clips[0])
    assert decision.verdict in ("not marked", "cannot tell") and decision.probe_score is not None


def test_verdict_says_whether_a_mark_could_have_been_found(clips):
    large = scene_clips(1, size=384, num_frames=1)[0]
    assert detect_watermark(large, search_scales=False).verdict == "not marked"
    for video in (large[..., :48, :48], torch.rand(1, 3, 5, 7), torch.zeros(2, 3, 30, 30)):
        decision = detect_watermark(video, search_scales=False)
        assert decision.verdict == "cannot tell" and not decision.detected


CONTENT = {
    "noise": torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)),
    "one edge": (torch.arange(256) > 100).float().expand(1, 3, 256, -1),
    "stripes of 16 pixels": (torch.arange(300) // 8 % 2).float().expand(1, 3, 280, -1),
    "another mark": embed_watermark(torch.full((1, 3, 256, 256), 0.5), Watermark(key="x", strength=4)),
}


@pytest.mark.parametrize("name", CONTENT)
def test_false_positive_rate_is_as_stated_whatever_the_content(name):
    """Over keys, the score without shifts is standard normal; no p-value comes more often than it says."""
    found = folded_tiles(chip_residuals(CONTENT[name])[0])
    decisions = [best_shift(found, f"key {index}", 0.1) for index in range(250)]
    p_values = np.array([decision.p_value for decision in decisions])
    for rate in (0.3, 0.1, 0.03):
        assert stats.binom.cdf((p_values <= rate).sum() - 1, 250, rate) < 0.999
    exact = [exact_score(found, f"key {index}") for index in range(250)]
    if name in ("noise", "another mark"):  # where many chips count
        assert stats.kstest(exact, "norm").pvalue > 0.001
    assert np.std(exact) < 1.2


def exact_score(found: tuple[FoldedTile, FoldedTile], key: str) -> float:
    return float(watermark_detection._scores(found[0], key)[0, 0])


def test_bound_is_that_of_the_theorem(clips):
    """3.18 times the tail of the normal distribution, over half of the rate."""
    decision = detect_watermark(embed_watermark(clips[0]))
    expected = stats.norm.sf(decision.score) / (4 * stats.norm.sf(math.sqrt(2))) / 0.5
    assert decision.p_value == pytest.approx(expected, rel=1e-6)
    # Two signs of one size agree in a quarter of cases, with a score of sqrt(2): there the bound is tight.
    assert watermark_detection._tail(math.sqrt(2)) == pytest.approx(0.25, rel=1e-12)


# --- what may be given


def test_frames_may_come_one_by_one(marked):
    decision = detect_watermark(marked[0])
    assert detect_watermark(list(marked[0])) == decision
    with pytest.raises(TypeError, match="each time"):
        detect_watermark(iter(marked[0]))


@pytest.mark.parametrize(
    ("video", "options", "message"),
    [
        ([], {}, "must have frames"),
        (torch.zeros(0, 3, 5, 5), {}, "must have frames"),
        ([torch.zeros(3, 5, 5), torch.zeros(3, 5, 6)], {}, "one size"),
        ([torch.zeros(1, 5, 5)], {}, r"\[3, height, width\]"),
        (torch.full((1, 3, 5, 5), math.nan), {}, "finite"),
        (torch.zeros(1, 3, 5, 5), {"key": ""}, "key must not be empty"),
        (torch.zeros(1, 3, 5, 5), {"false_positive_rate": 0.2}, "false_positive_rate"),
        (torch.zeros(1, 3, 5, 5), {"false_positive_rate": 0.0}, "false_positive_rate"),
    ],
)
def test_errors(without_shape_checker, video, options, message):
    with pytest.raises(ValueError, match=message):
        detect_watermark(video, **options)
