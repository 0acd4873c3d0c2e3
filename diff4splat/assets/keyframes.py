"""Values over time as keyframes: only the times that straight lines through the others would miss."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Keyframes", "choose_keyframes", "fill_keyframes"]

_CHUNK = 1 << 16  # Gaussians worked on at a time, in float64


class Keyframes(NamedTuple):
    """Values of many Gaussians at some of the stored times, in whole steps.

    Args:
        is_key: Which times are keys, a row per Gaussian; none where a Gaussian holds still.
        values: Whole numbers of steps, or the values themselves where `step` is None; Gaussian after
            Gaussian, each in order of time.
        step: Size of a step, in the unit of the values.
    """

    is_key: Bool[Tensor, "gaussian time"]
    values: Int[Tensor, "key channel"] | Float[Tensor, "key channel"]
    step: float | None


def choose_keyframes(
    times: Float[Tensor, " time"],
    values: Float[Tensor, "time gaussian channel"],
    tolerance: Float[Tensor, "gaussian channel"],
) -> Keyframes:
    r"""Few keyframes from which linear interpolation gives back every value within a tolerance.

    Along the line from a key at $(t_a, v_a)$, the value at $t_k$ is met within $\epsilon$ by slopes in
    $[(v_k - \epsilon - v_a) / (t_k - t_a), (v_k + \epsilon - v_a) / (t_k - t_a)]$. A line goes on as long as
    the slope to its end lies in the intersection of these intervals, of all channels alike; then its last
    end becomes the next key. Values start from zero where the first time is no key, and are held after the
    last key, so that a Gaussian whose values stay within the tolerance of zero has no key.

    Args:
        times: Stored times, ascending.
        values: Values, finite.
        tolerance: Largest error, > 0, in the unit of the values.

    Returns:
        The keys. Steps are 8 or 16 bit where half of one is at most a third of the smallest tolerance, else
        the values are kept as 32-bit floats.
    """
    step, dtype = _step_and_type(values, float(tolerance.min()) / 1.5)
    moments = times.double().tolist()
    masks, kept = [], []
    for start in range(0, values.shape[1], _CHUNK):
        exact = values[:, start : start + _CHUNK].double()
        levels = exact.float() if step is None else (exact / step if step else exact).round()
        stored = levels.double() if step is None else levels * step
        mask = _keys(moments, exact, stored, tolerance[start : start + _CHUNK].double())
        masks.append(mask)
        kept.append(levels.movedim(0, 1)[mask].to(dtype))
    return Keyframes(torch.cat(masks), torch.cat(kept), step)


def fill_keyframes(
    times: Float[Tensor, " time"], is_key: Bool[Tensor, "gaussian time"], values: Float[Tensor, "key channel"]
) -> Float[Tensor, "time gaussian channel"]:
    """Values at all stored times, from those at the keys.

    Args:
        times: Stored times, ascending.
        is_key: Which times are keys, a row per Gaussian.
        values: Values at the keys, Gaussian after Gaussian, each in order of time.

    Returns:
        Values of the type of `values`: linear between keys; from zero at the first time where that is no
        key; held after the last key; zero where there is no key.
    """
    count, num_times = is_key.shape
    # With a row of zeros in front, the row number of a key is the number of keys so far.
    padded = torch.cat((values.new_zeros(1, values.shape[1]), values))
    per_gaussian = is_key.sum(dim=1)
    before = per_gaussian.cumsum(0) - per_gaussian  # keys of the Gaussians in front
    filled = values.new_empty(num_times, count, values.shape[1])
    index = torch.arange(num_times)
    last = torch.where(is_key, index, torch.zeros_like(index)).cummax(dim=1).values
    following = torch.where(is_key, index, torch.full_like(index, num_times))
    following = following.flip(1).cummin(dim=1).values.flip(1)
    so_far = is_key.long().cumsum(dim=1)
    for time in range(num_times):
        number, here, there = so_far[:, time], last[:, time], following[:, time]
        row = torch.where(number > 0, before + number, torch.zeros_like(number))
        held = there >= num_times
        next_row = torch.where(held | is_key[:, time], row, before + number + 1)
        start, end = times[here], times[there.clamp(max=num_times - 1)]
        gap = torch.where(end > start, end - start, torch.ones_like(end))
        share = ((times[time] - start) / gap).to(values.dtype)[:, None]
        filled[time] = torch.lerp(padded[row], padded[next_row], share)
    return filled


def _step_and_type(values: Tensor, wanted: float) -> tuple[float | None, torch.dtype]:
    """Size of a step and type of the whole numbers; None and float32 where 16 bits are too coarse."""
    largest = float(values.abs().max()) if values.numel() else 0.0
    for dtype in (torch.int8, torch.int16):
        limit = torch.iinfo(dtype).max
        if largest / limit <= wanted:
            return largest / limit, dtype
    return None, torch.float32


def _keys(times: list[float], exact: Tensor, stored: Tensor, tolerance: Tensor) -> Tensor:
    """Which times are keys, [gaussian, time]."""
    is_key = torch.zeros(*exact.shape[:2], dtype=torch.bool)
    is_key[0] = (exact[0].abs() > tolerance).any(dim=-1)
    anchor = torch.where(is_key[0, :, None], stored[0], 0.0)
    anchor_time = torch.full((exact.shape[1], 1), times[0], dtype=exact.dtype)
    low, high = torch.full_like(anchor, -math.inf), torch.full_like(anchor, math.inf)
    held = torch.ones_like(is_key[0])  # whether all since the last key lies within the tolerance of it
    for index in range(1, len(times)):
        slope = (stored[index] - anchor) / (times[index] - anchor_time)
        bends = ((slope < low) | (slope > high)).any(dim=-1)
        is_key[index - 1] |= bends
        chosen = bends[:, None]
        anchor = torch.where(chosen, stored[index - 1], anchor)
        anchor_time = torch.where(chosen, times[index - 1], anchor_time)
        low, high = torch.where(chosen, -math.inf, low), torch.where(chosen, math.inf, high)
        gap = times[index] - anchor_time
        low = torch.maximum(low, (exact[index] - tolerance - anchor) / gap)
        high = torch.minimum(high, (exact[index] + tolerance - anchor) / gap)
        near = ((exact[index] - anchor).abs() <= tolerance).all(dim=-1)
        held = (held | bends) & near
    if len(times) > 1:
        is_key[-1] = ~held
    return is_key.T.contiguous()
