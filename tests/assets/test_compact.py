"""Compact scenes: what a reader gets, how far it is off, and what of a damaged one is refused."""

import json
import math
from dataclasses import replace

import pytest
import torch
from reference.assets_scene import Scene
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from diff4splat.assets import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.cameras import trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import quaternion_conjugate, quaternion_multiply

MOMENTS = (0.0, 0.07, 0.13, 0.5, 0.77, 0.93, 1.0)


def moving_field(
    *,
    degree: int = 1,
    scale_space: str = "log",
    num_times: int = 7,
    count: int = 23,
    size: float = 0.05,
    turn: float = 2.1,
) -> DeformableGaussianField:
    """A third holds still, the rest moves on smooth curves, turns more than a half turn, and stretches."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    canonical = Gaussians(
        normal(count, 3),
        normal(count, 4),
        size * (0.4 * normal(count, 3)).exp(),
        normal(count).sigmoid(),
        0.5 * normal(count, (degree + 1) ** 2, 3),
    )
    times = torch.linspace(0, 1, num_times, dtype=torch.float64) ** 1.3
    moves = (torch.arange(count) % 3 > 0).double()[:, None]
    path = moves * (normal(count, 3) * times[:, None, None] + 0.3 * torch.sin(5 * times)[:, None, None])
    axis = torch.nn.functional.normalize(normal(count, 3), dim=-1)
    half = turn * (times**2)[:, None, None] * moves
    turns = torch.cat((half.cos(), half.sin() * axis), dim=-1)
    stretch = moves * 0.4 * (times**3)[:, None, None] * normal(count, 3)
    if scale_space == "linear":
        stretch = stretch * canonical.scales
    flips = torch.where(torch.arange(num_times) % 2 == 0, 1.0, -1.0)[:, None, None]
    return DeformableGaussianField(
        canonical, times, path, turns * flips, stretch, scale_space, {"prompt": "a \u00fc"}
    ).to(dtype=torch.float32)


def errors(field: DeformableGaussianField, read: DeformableGaussianField) -> dict[str, float]:
    """Largest errors at the stored times, worked out anew."""
    own = field.canonical.scales.double().amax(-1)
    own = own.clamp(min=own.sort().values[max(1, len(own) // 10) - 1])
    worst = {"position": 0.0, "rotation": 0.0, "log_scale": 0.0}
    for time in field.times.tolist():
        a, b = field.at(time).to(dtype=torch.float64), read.at(time).to(dtype=torch.float64)
        turn = quaternion_multiply(quaternion_conjugate(a.quaternions), b.quaternions)
        found = {
            "position": ((a.means - b.means).abs() / own[:, None]).max(),
            "rotation": 2 * turn[:, 1:].norm(dim=-1).clamp(max=1).asin().max(),
            "log_scale": (a.scales / b.scales).log().abs().max(),
        }
        worst = {key: max(worst[key], found[key].item()) for key in worst}
    for name in ("opacities", "harmonics"):
        worst[name] = (getattr(field.canonical, name) - getattr(read.canonical, name)).abs().max().item()
    return worst


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(
    ("degree", "scale_space", "num_times"), [(0, "log", 1), (1, "linear", 7), (3, "log", 7)]
)
def test_a_reader_written_from_the_specification_sees_the_same(
    tmp_path, compact, degree, scale_space, num_times
):
    field = moving_field(degree=degree, scale_space=scale_space, num_times=num_times)
    save_field(field, tmp_path / "scene.safetensors", compact=compact)
    ours, theirs = load_field(tmp_path / "scene.safetensors"), Scene(tmp_path / "scene.safetensors")
    for name in ("means", "quaternions", "scales", "opacities", "harmonics"):
        expected = torch.from_numpy(getattr(theirs, f"canonical_{name}")).float()
        torch.testing.assert_close(getattr(ours.canonical, name), expected, rtol=1e-6, atol=1e-6)
    for moment in MOMENTS:
        now = ours.at(moment)
        means, quaternions, scales = (torch.from_numpy(part).float() for part in theirs.at(moment))
        torch.testing.assert_close(now.means, means, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(now.scales, scales, rtol=1e-5, atol=1e-7)
        turns = (now.quaternions * quaternions).sum(-1).abs()
        torch.testing.assert_close(turns, torch.ones_like(turns), rtol=0, atol=1e-6)


@pytest.mark.parametrize("tolerance", [0.03, 0.12, 1.0])
@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_errors_are_within_what_was_asked_and_what_the_header_says(tmp_path, tolerance, scale_space):
    field = moving_field(scale_space=scale_space, num_times=13)
    save_field(field, tmp_path / "scene.safetensors", compact=True, tolerance=tolerance)
    bound = read_field_header(tmp_path / "scene.safetensors")["error_bound"]
    found = errors(field, load_field(tmp_path / "scene.safetensors"))
    for name, value in found.items():
        assert value <= bound[name] * 1.001 + 1e-6, name
        assert bound[name] <= 1.1 * value + 1e-5, name  # it is no idle bound
    assert bound["position"] <= tolerance
    assert bound["rotation"] <= tolerance / 20 + 2e-4  # and the 16 bits of the canonical rotation
    if scale_space == "log":
        assert bound["log_scale"] <= tolerance / 20 + 1e-4


def test_between_stored_times_no_position_is_further_off(tmp_path):
    field = moving_field(num_times=13)
    save_field(field, tmp_path / "scene.safetensors", compact=True)
    read, own = load_field(tmp_path / "scene.safetensors"), field.canonical.scales.amax(-1, keepdim=True)
    for moment in torch.linspace(0, 1, 41).tolist():
        a, b = field.at(moment), read.at(moment)
        own = own.clamp(min=own.sort(dim=0).values[1, 0])
        assert ((a.means - b.means).abs() / own).max() <= 0.12


def test_what_holds_still_has_no_keys_and_straight_motion_one(tmp_path):
    field = moving_field(count=24, num_times=9)
    held = torch.arange(24) % 3 == 0
    straight = (
        torch.linspace(0, 1, 9)[:, None, None] * torch.tensor([1.0, 2.0, 3.0]) * (~held).float()[:, None]
    )
    identity = torch.tensor([1.0, 0, 0, 0]).expand(9, 24, 4)
    field = replace(
        field,
        times=torch.linspace(0, 1, 9),
        delta_means=straight,
        delta_quaternions=identity,
        delta_scales=torch.zeros(9, 24, 3),
    )
    save_field(field, tmp_path / "scene.safetensors", compact=True)
    stored = load_file(tmp_path / "scene.safetensors")
    assert len(stored["motion.means.values"]) == 16
    assert len(stored["motion.rotation_vectors.values"]) == len(stored["motion.scales.values"]) == 0
    read = load_field(tmp_path / "scene.safetensors")
    assert torch.equal(read.delta_means[:, held], torch.zeros(9, 8, 3))
    torch.testing.assert_close(read.delta_means, straight, rtol=0, atol=1e-4)


def test_motion_from_a_first_time_that_is_not_the_canonical_state(tmp_path):
    field = moving_field(count=5)
    moved = field.delta_means + 2.0
    save_field(replace(field, delta_means=moved), tmp_path / "scene.safetensors", compact=True)
    read = load_field(tmp_path / "scene.safetensors")
    torch.testing.assert_close(read.delta_means, moved, rtol=0, atol=0.05)


def test_small_gaussians_in_a_wide_scene_keep_32_bits(tmp_path):
    field = moving_field(size=1e-5)
    save_field(field, tmp_path / "scene.safetensors", compact=True)
    stored = load_file(tmp_path / "scene.safetensors")
    assert stored["canonical.means"].dtype == stored["motion.means.values"].dtype == torch.float32
    assert read_field_header(tmp_path / "scene.safetensors")["error_bound"]["position"] <= 0.12


def test_one_bright_coefficient_does_not_coarsen_the_others(tmp_path):
    field = moving_field(degree=3)
    harmonics = field.canonical.harmonics.clone()
    harmonics[5, 7] = 60.0
    field = replace(field, canonical=replace(field.canonical, harmonics=harmonics))
    save_field(field, tmp_path / "scene.safetensors", compact=True)
    read = load_field(tmp_path / "scene.safetensors")
    assert (read.canonical.harmonics - harmonics)[:, 1:].abs().max() <= 1 / 128
    assert read_field_header(tmp_path / "scene.safetensors")["error_bound"]["harmonics"] <= 1 / 128
    theirs = torch.from_numpy(Scene(tmp_path / "scene.safetensors").canonical_harmonics)
    torch.testing.assert_close(read.canonical.harmonics, theirs.float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "factor", "words"),
    [
        ("means", 1e60, "means must be finite"),
        ("scales", 1e-60, "scales must be > 0"),
        ("scales", 1e60, "scales must be finite"),
        ("harmonics", 1e60, "harmonics must be finite"),
        ("delta_means", 1e60, "delta_means must be finite"),
    ],
)
def test_values_beyond_32_bits_are_refused_and_what_is_there_stays(tmp_path, name, factor, words):
    field, path = moving_field().to(dtype=torch.float64), tmp_path / "scene.safetensors"
    path.write_text("precious")
    if name.startswith("delta"):
        field = replace(field, **{name: factor * getattr(field, name)})
    else:
        values = factor * getattr(field.canonical, name)
        field = replace(field, canonical=replace(field.canonical, **{name: values}))
    with pytest.raises(ValueError, match=f"field must hold values that 32-bit floats can hold, but {words}"):
        save_field(field, path, compact=True)
    assert path.read_text() == "precious"


def test_a_place_too_far_out_for_32_bits_is_refused(tmp_path):
    field = moving_field(size=1e-3).to(dtype=torch.float64)
    far = replace(field, canonical=replace(field.canonical, means=field.canonical.means + 6378137.0))
    with pytest.raises(ValueError, match=r"tolerance must be at least [0-9]+, got 0.12: compact files hold"):
        save_field(far, tmp_path / "scene.safetensors", compact=True)
    assert not list(tmp_path.iterdir())


def test_an_infinite_scale_does_not_hide_the_errors_of_others(tmp_path):
    field = moving_field()
    stretched = field.delta_scales.clone()
    stretched[:, 1] = 900.0  # exp of it is infinite in 64 bits
    save_field(replace(field, delta_scales=stretched), tmp_path / "scene.safetensors", compact=True)
    read = load_field(tmp_path / "scene.safetensors")
    others = torch.arange(23) != 1
    found = errors(field.select(others), read.select(others))["log_scale"]
    assert found > 1e-4
    bound = read_field_header(tmp_path / "scene.safetensors")["error_bound"]["log_scale"]
    assert bound >= found * 0.999 - 1e-6


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that is made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.untyped_storage().nbytes())
        return result


def test_reading_what_holds_still_takes_no_more_than_the_field(tmp_path):
    still = DeformableGaussianField.from_gaussians(
        moving_field(count=997).canonical, torch.linspace(0, 1, 41)
    )
    save_field(still, tmp_path / "scene.safetensors", compact=True)
    with LargestTensor() as seen:
        read = load_field(tmp_path / "scene.safetensors")
    assert torch.equal(read.delta_quaternions, still.delta_quaternions)
    assert seen.largest == 4 * 4 * 997 * 41  # the quaternions themselves


def test_bright_colors_beyond_half_floats(tmp_path):
    field = moving_field(degree=0)
    bright = replace(field, canonical=replace(field.canonical, harmonics=1e5 * field.canonical.harmonics))
    save_field(bright, tmp_path / "scene.safetensors", compact=True)
    assert torch.equal(
        load_field(tmp_path / "scene.safetensors").canonical.harmonics, bright.canonical.harmonics
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_read_as_32_bit_with_their_own_times(tmp_path, dtype):
    field = moving_field().to(dtype=dtype)
    field = replace(field, times=field.times.to(torch.float64))
    save_field(field, tmp_path / "scene.safetensors", compact=True)
    read = load_field(tmp_path / "scene.safetensors")
    assert read.dtype == torch.float32 and torch.equal(read.times, field.times)
    assert errors(field, read)["position"] <= 0.12


def test_cameras_header_and_version(tmp_path):
    path, cameras = tmp_path / "scene.safetensors", trajectory.spiral(5, height=47, width=61)
    field = moving_field()
    save_field(field, path, cameras=cameras, provenance={"seed": 3}, compact=True)
    header = read_field_header(path)
    # Version 1 readers go by the first number, and refuse; readers of version 2 go by `requires`.
    assert (header["version"], header["requires"]) == ("2.0", ["compact"])
    assert torch.equal(load_field_cameras(path).camera_to_world, cameras.camera_to_world)
    assert load_field(path).metadata == {"prompt": "a \u00fc", "seed": 3}
    field.save(tmp_path / "exact.safetensors")
    assert read_field_header(tmp_path / "exact.safetensors")["version"] == "1.0"
    field.save(tmp_path / "small.safetensors", compact=True)
    assert read_field_header(tmp_path / "small.safetensors")["version"] == "2.0"


def test_renders_of_smooth_motion_differ_by_46_db_at_a_fifth_of_the_size(tmp_path):
    field = moving_field(degree=0, count=400, num_times=25, size=0.03, turn=0.3)
    place = torch.tensor([0.0, 0.0, 4.0])
    field = replace(field, canonical=replace(field.canonical, means=field.canonical.means + place))
    field.save(tmp_path / "exact.safetensors")
    field.save(tmp_path / "small.safetensors", compact=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("small", "exact")]
    assert sizes[0] < sizes[1] / 5
    times = torch.tensor([0.0, 0.21, 0.5, 0.83, 1.0])
    cameras = trajectory.spiral(5, height=67, width=71)
    small, exact = (
        load_field(tmp_path / f"{name}.safetensors").render(cameras, times).color
        for name in ("small", "exact")
    )
    assert exact.std() > 0.05
    assert -10 * (small - exact).square().mean().log10() > 46


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scene.safetensors"
    save_field(moving_field(degree=1), path, compact=True)
    return path


def rewrite(path, change) -> None:
    """The same file after `change(tensors, header)`."""
    with safe_open(path, framework="pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    tensors = load_file(path)
    change(tensors, header)
    save_file(tensors, path, {key: json.dumps(value) for key, value in header.items()})


def without(part: str, name: str):
    def change(tensors, header):
        del (tensors if part == "tensors" else header["encodings"])[name]

    return change


def with_encoding(name: str, **entry):
    return lambda tensors, header: header["encodings"][name].update(entry)


def one_more_key(tensors, header):
    keys = tensors["motion.means.keys"]
    free = int((keys != 255).nonzero()[0])
    keys[free] |= 1 << next(bit for bit in range(8) if not keys[free] >> bit & 1)


def key_of_nobody(tensors, header):
    assert 23 * 7 % 8, "the last byte has room"
    tensors["motion.scales.keys"][-1] |= 128


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("tensors", "motion.means.keys"), "lacks the tensor motion.means.keys"),
        (without("tensors", "canonical.higher_harmonics"), "lacks the tensor canonical.higher_harmonics"),
        (without("encodings", "canonical.log_scales"), "offset and step of canonical.log_scales"),
        (with_encoding("canonical.means", step=[1.0, 2.0]), "offset and step of canonical.means"),
        (with_encoding("canonical.means", offset=[math.nan]), "offset and step of canonical.means"),
        (with_encoding("canonical.means", offset=[10**400]), "offset and step of canonical.means"),
        (with_encoding("canonical.means", offset="0"), "offset and step of canonical.means"),
        (with_encoding("canonical.means", step=[1e200]), "means must be finite"),
        (with_encoding("canonical.log_scales", step=[1e9]), "scales must be"),
        (one_more_key, "keys, but motion.means.values has"),
        (key_of_nobody, "motion.scales.keys marks keys of Gaussians that are not there"),
        (
            lambda tensors, header: tensors.update({"motion.means.keys": torch.zeros(3, dtype=torch.uint8)}),
            r"motion.means.keys must have shape \(21,\)",
        ),
        (
            lambda tensors, header: tensors.update({"motion.means.values": torch.ones(9, 3).long()}),
            "motion.means.values must be one of I8, I16, F32",
        ),
        (
            lambda tensors, header: tensors.update({"motion.means.values": torch.zeros(9, 2)}),
            r"motion.means.values must have shape \(any, 3\)",
        ),
        (lambda tensors, header: header.update(encodings=[1]), "encodings must be an object"),
        (lambda tensors, header: header["requires"].append("wavelets"), "requires 'wavelets'"),
    ],
)  # fmt: skip
def test_damage_is_named(path, change, words):
    rewrite(path, change)
    with pytest.raises(ValueError, match=words) as caught:
        load_field(path)
    assert str(path) in str(caught.value)


def test_a_newer_minor_version_with_more_in_it_is_read(path):
    before = load_field(path)

    def newer(tensors, header):
        header.update(version="2.7", sky={"color": [0, 0, 1]})
        header["encodings"]["sky.pixels"] = {"curve": "gamma"}
        tensors["sky.pixels"] = torch.zeros(3, 5, dtype=torch.int64)

    rewrite(path, newer)
    assert torch.equal(load_field(path).delta_means, before.delta_means)


def test_tolerance_out_of_range(tmp_path):
    for tolerance in (0.0, -1.0, 11.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be in"):
            save_field(moving_field(), tmp_path / "scene.safetensors", compact=True, tolerance=tolerance)
    assert not list(tmp_path.iterdir())
