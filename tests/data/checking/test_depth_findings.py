"""Depth that is none, and marks that were left in it, are found."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.data.checking import depth_findings


def verdicts(**changes) -> dict[str, str]:
    return {item.name: item.verdict for item in depth_findings(replace(recording(), **changes))}


def test_exact_depth_holds() -> None:
    assert set(verdicts().values()) == {"holds"} and len(verdicts()) == 4
    assert depth_findings(replace(recording(), depth=None, depth_mask=None)) == []


@pytest.mark.parametrize("mark", [65535.0, 65504.0, 655.35])
def test_a_mark_for_the_sky_is_found(mark: float) -> None:
    depth = recording().depth.clone()
    depth[:, :9] = mark
    found = next(item for item in depth_findings(replace(recording(), depth=depth)) if "marks" in item.name)
    assert found.verdict == "fails" and found.value == 13 * 9 * 149
    assert f"{mark:.6g}" in found.words


def test_a_mark_that_is_masked_holds_and_a_cap_cannot_be_told() -> None:
    depth, mask = recording().depth.clone(), recording().depth_mask.clone()
    depth[:, :9] = 65535
    mask[:, :9] = False
    assert verdicts(depth=depth, depth_mask=mask)["marks left in the depth"] == "holds"
    capped = recording().depth.clamp(max=float(recording().depth.quantile(0.9)))
    assert verdicts(depth=capped)["marks left in the depth"] == "cannot tell"
    flat = torch.full_like(capped, 5.0)
    assert verdicts(depth=flat)["marks left in the depth"] == "cannot tell"


@pytest.mark.parametrize("wrong", [0.0, -1.0, torch.nan, torch.inf])
def test_what_is_no_depth_is_counted(wrong: float) -> None:
    depth = recording().depth.clone()
    depth[4, 5, 6:9] = wrong
    finding = depth_findings(replace(recording(), depth=depth))[0]
    assert (finding.verdict, finding.value) == ("fails", 3.0)


def test_frames_without_depth_and_other_units_are_found() -> None:
    mask = recording().depth_mask.clone()
    mask[3] = False
    assert verdicts(depth_mask=mask)["depth known"] == "fails"
    assert verdicts(depth_mask=torch.zeros_like(mask))["depth known"] == "fails"
    assert verdicts(depth=recording().depth * 1000)["depth in metres"] == "fails"
    assert "depth in metres" not in verdicts(unit="unknown")
