"""Edits of when things happen: any moments, other stored times, other clocks, held and scaled motion."""

import math
from dataclasses import replace

import pytest
import torch
from editing.parts import (
    DELTAS,
    MOMENTS,
    assert_same_at,
    assert_same_bits,
    assert_same_pictures,
    copied,
    scene,
    tensors,
)
from gaussians.parts import TIMES, random_field

from diff4splat.editing import deltas_at, freeze, resample_times, retime, scale_motion
from diff4splat.gaussians import deform_gaussians, deltas_between
from diff4splat.geometry import quaternion_to_rotation_vector

SPACES = ["log", "linear"]


def gentle(*batch, **options):
    """A field in which no scale is held at its lower bound, and no turn comes near a half one."""
    field = random_field(*batch, **options)
    turns = field.delta_quaternions.clone()
    turns[..., 0] = turns[..., 0].abs() + 3
    turns = turns / turns.norm(dim=-1, keepdim=True)
    scales = 0.1 * field.delta_scales * field.canonical.scales[..., None, :, :]
    return replace(field, delta_quaternions=turns, delta_scales=scales)


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("space", SPACES)
def test_deltas_are_those_of_the_field(batch, space):
    field = gentle(*batch, scale_space=space)
    moments = (0.5, 0.25, 0.0, 0.25, 1.0, 0.61)  # in any order, some twice
    deltas = deltas_at(field, moments)
    assert deltas.means.shape == (*batch, 6, 7, 3)
    for index, moment in enumerate(moments):
        here = (values[..., index, :, :] for values in deltas)
        assert_same_at(deform_gaussians(field.canonical, *here, scale_space=space), field.at(moment))


def test_deltas_at_stored_times_are_the_stored_bits():
    field = random_field(2, dtype=torch.float32)
    for stored, found in zip(DELTAS, deltas_at(field, field.times), strict=True):
        assert torch.equal(found, getattr(field, stored))
    held = deltas_at(field, [0.0, 1.0])
    assert torch.equal(held.quaternions[:, 0], field.delta_quaternions[:, 0])
    assert torch.equal(held.quaternions[:, 1], field.delta_quaternions[:, -1])


def test_more_times_change_nothing_at_any_time():
    field = random_field()
    before = copied(field)
    finer = resample_times(field, sorted({*TIMES, 0.0, 0.2, 0.27, 0.41, 0.95, 1.0}))
    for time in MOMENTS:
        assert_same_at(finer.at(time), field.at(time), atol=1e-9)
    assert_same_bits(resample_times(field, field.times), field)
    assert_same_bits(field, before)
    back = resample_times(finer, field.times)
    assert_same_bits(back, field)


def test_fewer_times_are_exact_where_they_are():
    field = random_field(metadata={"fps": 12})
    coarse = resample_times(field, [0.2, 0.7])
    assert coarse.num_times == 2 and coarse.metadata == {"fps": 12}
    for time in (0.2, 0.7):
        assert_same_at(coarse.at(time), field.at(time))
    assert (coarse.at(0.25).means - field.at(0.25).means).abs().max() > 0.01


CLOCKS = {
    "reverse": ((1.0, 0.0), None),
    "there and back": ((0.0, 1.0, 0.0), None),
    "trim": ((0.2, 0.8), None),
    "double speed and rest": ((0.0, 1.0, 1.0), None),
    "uneven": ((0.1, 0.9, 0.3, 0.3, 0.55), (0.0, 0.2, 0.3, 0.7, 0.95)),
    "one moment": ((0.33,), None),
    "held part": ((0.0, 0.05), None),
    "smooth": (tuple(math.sin(math.pi * i / 22) ** 2 for i in range(12)), None),
}


def clock(sources, knots, time):
    """Even between knots, standing outside of them."""
    knots = [i / max(1, len(sources) - 1) for i in range(len(sources))] if knots is None else knots
    if time <= knots[0] or len(knots) == 1:
        return sources[0]
    for i in range(len(knots) - 1):
        if time <= knots[i + 1]:
            share = (time - knots[i]) / (knots[i + 1] - knots[i])
            return min(max(sources[i] + share * (sources[i + 1] - sources[i]), 0.0), 1.0)
    return sources[-1]


@pytest.mark.parametrize("name", CLOCKS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_retimed_field_is_the_old_one_at_the_clock_s_time(name, batch):
    field = random_field(*batch)
    before = copied(field)
    sources, knots = CLOCKS[name]
    changed = retime(field, sources, knots)
    changed.validate()
    for time in (*MOMENTS, *changed.times.tolist()):
        assert_same_at(changed.at(time), field.at(clock(sources, knots, time)), atol=1e-8)
    assert_same_bits(field, before)


def test_stored_states_stay_bit_by_bit():
    field = random_field(dtype=torch.float32)
    changed = retime(field, (1.0, 0.0))
    for name in DELTAS:
        assert torch.equal(getattr(changed, name), getattr(field, name).flip(0))
    torch.testing.assert_close(changed.times, (1 - field.times).flip(0))


def test_reversed_twice_is_the_field():
    field = scene(dtype=torch.float32)
    twice = retime(retime(field, (1.0, 0.0)), (1.0, 0.0))
    for name, values in tensors(field).items():
        torch.testing.assert_close(tensors(twice)[name], values, atol=1e-6, rtol=0)
    assert_same_pictures(twice, field)


def test_a_clock_whose_moments_fall_together_in_a_short_type_still_ascends():
    times = torch.tensor([0.5, 0.5 + 2**-24, 0.5 + 2**-23, 0.75])
    field = random_field(times=tuple(times.tolist()), dtype=torch.float32)
    changed = retime(field, (0.0, 1.0, 0.0, 1.0), (0.0, 0.01, 0.9, 1.0))
    changed.validate()


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("sources", "times", "message"),
    [
        ((), None, "source_times must have one axis of at least one time"),
        ((0.0, 1.2), None, "source_times must lie in"),
        ((0.0, math.nan), None, "source_times must lie in"),
        ((0.0, 1.0), (0.0, 0.5, 1.0), "times must have as many entries as source_times, 2, got 3"),
        ((0.0, 1.0), (0.5, 0.5), "times must ascend strictly"),
        ((0.0, 1.0), (-0.5, 0.5), "times must lie in"),
    ],
)
def test_clocks_that_are_none_are_refused(sources, times, message):
    with pytest.raises(ValueError, match=message):
        retime(random_field(), sources, times)


@pytest.mark.parametrize("times", [(0.5, 0.5), (0.7, 0.2)])
def test_times_that_do_not_ascend_are_refused(times):
    with pytest.raises(ValueError, match="times must ascend strictly"):
        resample_times(random_field(), times)


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("time", [0.0, 0.25, 0.47, 1.0])
def test_frozen_is_as_it_was_at_that_time(batch, time):
    field = random_field(*batch)
    before = copied(field)
    frozen = freeze(field, time)
    for moment in MOMENTS:
        assert_same_at(frozen.at(moment), field.at(time), atol=1e-12)
    assert_same_bits(field, before)


def test_some_are_frozen_and_the_others_keep_their_bits():
    field = random_field(2)
    mask = torch.arange(7) % 2 == 0
    frozen = freeze(field, 0.47, mask=mask)
    assert_same_bits(frozen.select(~mask), field.select(~mask))
    assert_same_at(frozen.select(mask).at(0.8), field.select(mask).at(0.47))
    assert_same_bits(freeze(field, 0.47, mask=torch.zeros(7, dtype=torch.bool)), field)
    each = torch.stack((mask, ~mask))  # another choice in each set of a batch
    frozen = freeze(field, 0.47, mask=each)
    for index in range(2):
        assert_same_bits(frozen.batch(index), freeze(field.batch(index), 0.47, mask=each[index]))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("factor", [0, 0.5, 2.0, -1.0])
def test_scaled_motion_matches_the_loop(space, batch, factor):
    """Displacement, angle and change of scale since the reference are multiplied."""
    field = gentle(*batch, scale_space=space)
    before = copied(field)
    for reference in (0.0, 0.27):
        changed = scale_motion(field, factor, time=reference)
        start = field.at(reference)
        for time in TIMES:
            was = deltas_between(start, field.at(time), scale_space=space)
            now = deltas_between(start, changed.at(time), scale_space=space)
            torch.testing.assert_close(now.means, factor * was.means, atol=1e-10, rtol=0)
            torch.testing.assert_close(now.scales, factor * was.scales, atol=1e-10, rtol=0)
            turn = quaternion_to_rotation_vector(was.quaternions)
            assert turn.norm(dim=-1).max() < math.pi / 2, "else twice the turn goes round the other way"
            found = quaternion_to_rotation_vector(now.quaternions)
            torch.testing.assert_close(found, factor * turn, atol=1e-7, rtol=0)
        assert_same_at(changed.at(reference), start)
    assert_same_bits(field, before)


def test_factor_one_is_the_field_and_zero_is_frozen():
    field = random_field()
    assert_same_bits(scale_motion(field, 1), field)
    for time in MOMENTS:
        assert_same_at(scale_motion(field, 0, time=0.3).at(time), field.at(0.3))
    mask = torch.arange(7) < 3
    assert_same_bits(scale_motion(field, 3.0, mask=mask).select(~mask), field.select(~mask))


@pytest.mark.parametrize(
    "edit", [freeze, lambda field, time, **given: scale_motion(field, 2.0, time=time, **given)]
)
@pytest.mark.usefixtures("without_shape_checker")
def test_times_and_masks_that_are_none_are_refused(edit):
    field = random_field()
    for time in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"time must lie in \[0, 1\]"):
            edit(field, time)
    for mask in (torch.ones(6, dtype=torch.bool), torch.ones(1, 7, dtype=torch.bool)):
        with pytest.raises(ValueError, match="mask must have one entry for each of 7 Gaussians, got shape"):
            edit(field, 0.5, mask=mask)
    with pytest.raises(ValueError, match="mask must be boolean"):
        edit(field, 0.5, mask=torch.ones(7))
    for factor in (math.nan, math.inf):
        with pytest.raises(ValueError, match="factor must be a finite number"):
            scale_motion(field, factor)


@pytest.mark.parametrize(
    "edit",
    [
        lambda field: resample_times(field, (0.2, 0.3, 0.6)),
        lambda field: retime(field, (1.0, 0.0)),
        lambda field: freeze(field, 0.45, mask=torch.tensor([True, False])),
        lambda field: scale_motion(field, 1.7, time=0.4),
    ],
)
def test_gradients(edit):
    field = gentle(count=2, times=(0.2, 0.6, 0.9))

    def states(*deltas):
        changed = edit(replace(field, **dict(zip(DELTAS, deltas, strict=True)))).at(0.5)
        return changed.means, changed.quaternions, changed.scales

    deltas = [getattr(field, name).clone().requires_grad_() for name in DELTAS]
    assert torch.autograd.gradcheck(states, deltas)
