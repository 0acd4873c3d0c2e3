"""The compact form of a field on disk: 16-bit numbers, and motion as keyframes of what moves.

docs/scene_format.md says what each tensor means; `save_field(..., compact=True)` writes it.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.keyframes import choose_keyframes, fill_keyframes
from diff4splat.gaussians import DeformableGaussianField, Gaussians, deform_gaussians
from diff4splat.geometry import quaternion_conjugate, quaternion_multiply, quaternion_normalize

__all__ = ["CompactField", "compact_shapes", "pack_compact", "unpack_compact"]

MOTIONS = ("means", "rotation_vectors", "scales")
HALF_LARGEST = torch.finfo(torch.float16).max
PLACE_SHARE = 1 / 2  # of `tolerance`: half for the canonical place, half for the displacement from there
ANGLE_SHARE = 1 / 20  # radians, and changes of log-scale, per unit of `tolerance`
COLOR_ERROR = 1 / 128  # of harmonics beyond the base; 8 bits where they are that fine, else 16
CHUNK = 1 << 14  # Gaussians whose motion is worked out at a time, in float64


class CompactField(NamedTuple):
    """A field in compact form.

    Args:
        tensors: By name.
        encodings: Of the tensors that are whole numbers: `offset` and `step`, value = offset + step x number.
        error_bound: Largest errors, measured on what a reader gets.
    """

    tensors: dict[str, Tensor]
    encodings: dict[str, dict[str, list[float]]]
    error_bound: dict[str, Any]


def pack_compact(field: DeformableGaussianField, tolerance: float) -> CompactField:
    """Compact form of a valid field, with the errors it makes.

    Args:
        field: One field without batch axes, with valid values.
        tolerance: Largest error of a position along an axis at the stored times, in the Gaussian's own size:
            its largest canonical scale, or the 10% quantile of those of all where it is smaller. A twentieth
            of it, in radians, holds for rotations of the canonical to the deformed axes, and for natural
            logarithms of scales (in linear space, for changes over the Gaussian's canonical scale).

    Returns:
        Tensors, encodings and error bounds.

    Raises:
        ValueError: If 32-bit floats cannot hold the values, or not the places to within the tolerance.
    """
    field = field.detach().to("cpu")
    canonical, times = field.canonical, field.times
    own = canonical.scales.double().amax(dim=-1)
    floor = float(own.kthvalue(max(1, len(own) // 10)).values)
    own = own.clamp(min=floor)[:, None]

    packed = CompactField({"times": times.clone()}, {}, {})
    _put_means(packed, canonical.means, PLACE_SHARE * tolerance * floor)
    turns = _continuous(quaternion_normalize(_at_least_float(canonical.quaternions))[None])[0]
    _put_whole(packed, "canonical.rotation_vectors", _rotation_vectors(turns))
    _put_whole(packed, "canonical.log_scales", canonical.scales.double().log())
    _put_whole(packed, "canonical.opacities", canonical.opacities[:, None], flat=True)
    base, higher = canonical.harmonics[:, :1], canonical.harmonics[:, 1:]
    fits = float(base.abs().max()) <= HALF_LARGEST
    packed.tensors["canonical.base_harmonics"] = base.to(torch.float16 if fits else torch.float32)
    if higher.shape[1]:
        low, high = higher.double().aminmax(dim=0)
        coarse = float((high - low).max()) / (2**8 - 1) / 2 > COLOR_ERROR
        dtype = torch.int16 if coarse else torch.int8
        _put_whole(packed, "canonical.higher_harmonics", higher.flatten(1), dtype=dtype)

    angle = tolerance * ANGLE_SHARE
    scale_unit = 1.0 if field.scale_space == "log" else canonical.scales.double()
    turns = _continuous(quaternion_normalize(_at_least_float(field.delta_quaternions)))
    everyone = torch.ones_like(own).expand(-1, 3)
    motions = {
        "means": (field.delta_means, PLACE_SHARE * tolerance * own.expand(-1, 3)),
        # The length of an error in three channels, each within the tolerance of one.
        "rotation_vectors": (_rotation_vectors(turns), angle / math.sqrt(3) * everyone),
        "scales": (field.delta_scales, angle * scale_unit * everyone),
    }
    for name, (values, allowed) in motions.items():
        keys = choose_keyframes(times, values, allowed)
        packed.tensors[f"motion.{name}.keys"] = pack_bits(keys.is_key.flatten())
        packed.tensors[f"motion.{name}.values"] = keys.values
        if keys.step is not None:
            packed.encodings[f"motion.{name}.values"] = {"offset": [0.0], "step": [keys.step]}
    decoded = unpack_compact(packed.tensors, packed.encodings, field.scale_space)
    try:
        decoded.validate()
    except ValueError as error:
        raise ValueError(f"field must hold values that 32-bit floats can hold, but {error}") from None
    errors = _largest_errors(field, decoded, own)
    if errors["position"] > tolerance * 1.000001:
        raise ValueError(
            f"tolerance must be at least {_round_up(errors['position']):g}, got {tolerance:g}: compact files "
            "hold 32-bit floats, which are no finer so far from the origin. An exact file keeps 64 bits."
        )
    packed.error_bound["own_size_floor"] = floor
    packed.error_bound.update({key: _round_up(value) for key, value in errors.items()})
    return packed


def unpack_compact(
    tensors: Mapping[str, Tensor], encodings: Mapping[str, Any], scale_space: Any
) -> DeformableGaussianField:
    """Field of a compact form whose shapes have been checked against `compact_shapes`.

    Args:
        tensors: By name.
        encodings: Offset and step of those that are whole numbers.
        scale_space: Space in which scales change.

    Returns:
        Field in 32-bit floats, with its times in the type they were stored in.

    Raises:
        ValueError: If an encoding is missing or is none, or the numbers of keys and values differ.
    """

    def decoded(name: str) -> Tensor:
        return _decode(name, tensors[name], encodings)

    times, means = tensors["times"], decoded("canonical.means")
    count, num_times = means.shape[0], times.shape[0]
    harmonics = tensors["canonical.base_harmonics"].float()
    if "canonical.higher_harmonics" in tensors:
        higher = decoded("canonical.higher_harmonics").reshape(count, -1, 3)
        harmonics = torch.cat((harmonics, higher.float()), dim=1)
    motion = {name: torch.zeros(num_times, count, 4 if name == "rotation_vectors" else 3) for name in MOTIONS}
    motion["rotation_vectors"][..., 0] = 1
    for name, filled in motion.items():
        is_key = unpack_bits(f"motion.{name}.keys", tensors[f"motion.{name}.keys"], count * num_times)
        values, is_key = decoded(f"motion.{name}.values"), is_key.reshape(count, num_times)
        if int(is_key.sum()) != len(values):
            raise ValueError(
                f"motion.{name}.keys marks {int(is_key.sum())} keys, "
                f"but motion.{name}.values has {len(values)}."
            )
        first = 0
        for movers in is_key.any(dim=1).nonzero()[:, 0].split(CHUNK):
            last = first + int(is_key[movers].sum())
            part = fill_keyframes(times.double(), is_key[movers], values[first:last])
            filled[:, movers] = (_quaternions(part) if name == "rotation_vectors" else part).float()
            first = last
    return DeformableGaussianField(
        canonical=Gaussians(
            means=means.float(),
            quaternions=_quaternions(decoded("canonical.rotation_vectors")).float(),
            scales=decoded("canonical.log_scales").exp().float(),
            opacities=decoded("canonical.opacities").clamp(0, 1).float(),
            harmonics=harmonics,
        ),
        times=times,
        delta_means=motion["means"],
        delta_quaternions=motion["rotation_vectors"],
        delta_scales=motion["scales"],
        scale_space=scale_space,
    )


def compact_shapes(
    count: int, num_times: int, degree: int
) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
    """Shapes and types of the tensors of a compact form; None stands for the number of keys.

    Args:
        count: Number of Gaussians.
        num_times: Number of stored times.
        degree: Of the harmonics.

    Returns:
        Shape and names of the allowed types, by name of the tensor.
    """
    shapes: dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]] = {
        "canonical.means": ((count, 3), ("I16", "F32")),
        "canonical.rotation_vectors": ((count, 3), ("I16",)),
        "canonical.log_scales": ((count, 3), ("I16",)),
        "canonical.opacities": ((count,), ("I16",)),
        "canonical.base_harmonics": ((count, 1, 3), ("F16", "F32")),
        "times": ((num_times,), ("F64", "F32", "F16", "BF16")),
    }
    if degree:
        shapes["canonical.higher_harmonics"] = ((count, 3 * ((degree + 1) ** 2 - 1)), ("I8", "I16"))
    for name in MOTIONS:
        shapes[f"motion.{name}.keys"] = ((-(-count * num_times // 8),), ("U8",))
        shapes[f"motion.{name}.values"] = ((None, 3), ("I8", "I16", "F32"))
    return shapes


def pack_bits(flags: Tensor) -> Tensor:
    """Eight flags a byte, the first in the lowest bit; the last byte is filled with zeros."""
    padded = torch.nn.functional.pad(flags.to(torch.uint8), (0, -len(flags) % 8)).reshape(-1, 8)
    return (padded << torch.arange(8, dtype=torch.uint8)).sum(dim=1, dtype=torch.uint8)


def unpack_bits(name: str, bytes_: Tensor, count: int) -> Tensor:
    """The flags of `pack_bits`; ValueError if one is set beyond the last."""
    flags = torch.empty(len(bytes_), 8, dtype=torch.bool)
    for bit in range(8):
        flags[:, bit] = (bytes_ & (1 << bit)) != 0
    flags = flags.flatten()
    if flags[count:].any():
        raise ValueError(f"{name} marks keys of Gaussians that are not there.")
    return flags[:count]


def _put_means(packed: CompactField, means: Tensor, allowed: float) -> None:
    """Canonical centres in 16 bits over their bounding box, or 32-bit floats where these are too coarse."""
    low, high = means.double().aminmax(dim=0)
    if float((high - low).max()) / (2**16 - 1) / 2 <= allowed:
        _put_whole(packed, "canonical.means", means)
    else:
        packed.tensors["canonical.means"] = means.float()


def _put_whole(
    packed: CompactField, name: str, values: Tensor, *, dtype: torch.dtype = torch.int16, flat: bool = False
) -> None:
    """Values as whole numbers over the range of each channel."""
    values = values.double()
    low, high = values.aminmax(dim=0)
    info = torch.iinfo(dtype)
    step = (high - low) / (info.max - info.min)
    offset = low - info.min * step
    levels = ((values - offset) / torch.where(step > 0, step, 1.0)).round().clamp(info.min, info.max)
    packed.tensors[name] = (levels[:, 0] if flat else levels).to(dtype)
    packed.encodings[name] = {"offset": offset.tolist(), "step": step.tolist()}


def _decode(name: str, stored: Tensor, encodings: Mapping[str, Any]) -> Tensor:
    """Values of a stored tensor, float64 where it holds whole numbers."""
    if stored.is_floating_point():
        return stored
    encoding = encodings.get(name)
    channels = stored.shape[-1] if stored.ndim > 1 else 1
    entries = encoding if isinstance(encoding, Mapping) else {}
    offset, step = (_numbers(entries.get(key), channels) for key in ("offset", "step"))
    if offset is None or step is None:
        raise ValueError(
            f"encodings must give offset and step of {name}, one number or {channels} each, got {encoding!r}."
        )
    return offset + step * stored.double()


def _numbers(value: Any, channels: int) -> Tensor | None:
    """A number for all channels or for each of a JSON value; None if it is something else."""
    if not isinstance(value, list) or len(value) not in (1, channels):
        return None
    if not all(type(number) in (int, float) and abs(number) < 1e300 for number in value):  # nor NaN
        return None
    return torch.tensor([float(number) for number in value], dtype=torch.float64)


def _continuous(quaternions: Tensor) -> Tensor:
    """The same rotations with w >= 0 at the first time and no jump of sign from one time to the next."""
    cosines = (quaternions[1:] * quaternions[:-1]).sum(dim=-1, keepdim=True)
    first = torch.where(quaternions[:1, ..., :1] < 0, -1.0, 1.0)
    steps = torch.where(cosines < 0, -1.0, 1.0)
    return quaternions * torch.cat((first, steps)).cumprod(dim=0).to(quaternions)


def _rotation_vectors(quaternions: Tensor) -> Tensor:
    """Axis times angle, in [0, 2 pi], of unit quaternions of either sign."""
    sine = quaternions[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternions[..., :1])
    tiny = sine < 1e-12
    return quaternions[..., 1:] * torch.where(tiny, 2.0, angle / torch.where(tiny, 1.0, sine))


def _quaternions(vectors: Tensor) -> Float[Tensor, "*batch wxyz=4"]:
    """Unit quaternions of rotation vectors."""
    half = vectors.norm(dim=-1, keepdim=True) / 2
    return torch.cat((half.cos(), vectors / 2 * torch.sinc(half / math.pi)), dim=-1)


def _at_least_float(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _largest_errors(
    field: DeformableGaussianField, decoded: DeformableGaussianField, own: Tensor
) -> dict[str, float]:
    """Largest errors of what a reader gets, over all Gaussians and stored times."""
    largest = {"position": 0.0, "rotation": 0.0, "log_scale": 0.0}
    for index in range(field.num_times):
        exact, read = _deformed(field, index), _deformed(decoded, index)
        turn = quaternion_multiply(quaternion_conjugate(exact.quaternions), read.quaternions)
        errors = {
            "position": ((read.means - exact.means).abs() / own).max(),
            "rotation": 2 * torch.atan2(turn[:, 1:].norm(dim=-1), turn[:, 0].abs()).max(),
            # Both may be infinite; then they are equal.
            "log_scale": (read.scales.log() - exact.scales.log()).abs().nan_to_num(nan=0.0).max(),
        }
        largest = {key: max(value, float(errors[key])) for key, value in largest.items()}
    for name in ("opacities", "harmonics"):
        error = getattr(decoded.canonical, name).double() - getattr(field.canonical, name).double()
        largest[name] = float(error.abs().max())
    return largest


def _deformed(field: DeformableGaussianField, index: int) -> Gaussians:
    """Gaussians at a stored time, in float64."""
    return deform_gaussians(
        field.canonical.to(dtype=torch.float64),
        field.delta_means[index].double(),
        field.delta_quaternions[index].double(),
        field.delta_scales[index].double(),
        scale_space=field.scale_space,
    )


def _round_up(value: float) -> float:
    """Two digits, not below the value."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.12g}")
