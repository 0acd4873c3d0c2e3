"""Guidance in an interval of the steps."""

import pytest

from diff4splat.diffusion import ConstantGuidance, CosineGuidance, IntervalGuidance


def test_interval_is_half_open() -> None:
    guidance = IntervalGuidance(ConstantGuidance(3.0), start=0.2, stop=0.6)
    assert [guidance.scale(step, 5) for step in range(5)] == [1.0, 3.0, 3.0, 1.0, 1.0]
    assert [guidance.needs_unconditional(step, 5) for step in range(5)] == [False, True, True, False, False]


def test_whole_interval_changes_nothing() -> None:
    guidance, inside = IntervalGuidance(CosineGuidance()), CosineGuidance()
    for step in range(7):
        assert guidance.scale(step, 7) == inside.scale(step, 7)
        assert guidance.needs_unconditional(step, 7) is inside.needs_unconditional(step, 7)


def test_steps_that_the_schedule_skips_stay_skipped() -> None:
    guidance = IntervalGuidance(CosineGuidance(), 0.1, 0.8)
    needed = [step for step in range(30) if guidance.needs_unconditional(step, 30)]
    assert needed == [*range(3, 16)]
    assert guidance.scale(17, 30) == CosineGuidance().scale(17, 30) > 1


@pytest.mark.parametrize(("start", "stop"), [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_bad_intervals_are_refused(start, stop) -> None:
    with pytest.raises(ValueError, match=f"expected 0 <= start <= stop <= 1, got start={start}, stop={stop}"):
        IntervalGuidance(ConstantGuidance(2.0), start, stop)
