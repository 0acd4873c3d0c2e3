"""What a reconstruction model costs, in bytes and operations, without running it.

The model's own code runs on tensors that have shapes but no values, so a count cannot drift from the code.
"""

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.models.ldrm import LDRM

__all__ = ["MemoryEstimate", "count_flops", "estimate_memory"]


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that tensors hold while a model runs.

    Args:
        parameters: Weights.
        inputs: Latents, cameras, and what there is of features, photograph and target times.
        result: The field; in training also the gradients of the weights.
        peak: Most bytes held at any moment, weights and inputs included.
    """

    parameters: int
    inputs: int
    result: int
    peak: int


def estimate_memory(
    ldrm: LDRM,
    *,
    num_frames: int,
    height: int,
    width: int,
    num_times: int | None = None,
    image_size: tuple[int, int] | None = None,
    batch: int = 1,
    mode: Literal["inference", "training"] = "inference",
) -> MemoryEstimate:
    """Memory of one `LDRM.forward`, or of one training step, before it is run.

    Every tensor is counted from its making until it is freed, as the operators of the CPU make them;
    attention is fused there, as on CUDA. What kernels and allocators keep for themselves comes on top.

    Args:
        ldrm: Model on any device, "meta" included; its weights are not read.
        num_frames: Pixel frames of the clip.
        height: Height of the clip, pixels.
        width: Width of the clip, pixels.
        num_times: Target times to store; one per frame when omitted.
        image_size: Height and width of the photograph; no photograph when omitted.
        batch: Clips at a time.
        mode: "training" adds a loss on all that the field holds and `backward`, for the weights that require
            gradients; the optimiser comes on top, for Adam twice the weights.

    Returns:
        Bytes.

    Raises:
        ValueError: If the sizes do not fit the model, `mode` is unknown, or there is nothing to train.
    """
    if mode not in ("inference", "training"):
        raise ValueError(f"mode must be 'inference' or 'training', got {mode!r}.")
    train = mode == "training"
    if train and not any(parameter.requires_grad for parameter in ldrm.parameters()):
        raise ValueError("mode='training' needs weights that require gradients, got none.")
    with torch.inference_mode(False), FakeTensorMode(), LiveBytes() as live, torch.set_grad_enabled(train):
        step = _Step(_without_values(ldrm), train=train)
        held = [live.now]
        inputs = _inputs(ldrm, num_frames, height, width, num_times, image_size, batch)
        held.append(live.now)
        result = step(**inputs)
        held.append(live.now)
        del result
    return MemoryEstimate(
        parameters=held[0], inputs=held[1] - held[0], result=held[2] - held[1], peak=live.peak
    )


def count_flops(
    ldrm: LDRM,
    *,
    num_frames: int,
    height: int,
    width: int,
    num_times: int | None = None,
    image_size: tuple[int, int] | None = None,
    batch: int = 1,
) -> dict[str, int]:
    """Floating-point operations of one `LDRM.forward`, part by part, before it is run.

    A multiplication and an addition are two operations. Matrix products, convolutions and attention are
    counted; sums, norms and activations are not.

    Args:
        ldrm: Model on any device, "meta" included; its weights are not read.
        num_frames: Pixel frames of the clip.
        height: Height of the clip, pixels.
        width: Width of the clip, pixels.
        num_times: Target times to store; one per frame when omitted.
        image_size: Height and width of the photograph; no photograph when omitted.
        batch: Clips at a time.

    Returns:
        Operations of each part of the model by its name ("blocks", "deformation_head", ...), and as
        "geometry" those of everything else. Their sum is the total.

    Raises:
        ValueError: If the sizes do not fit the model.
    """
    counter = FlopCounterMode(display=False)
    with FakeTensorMode(), counter, torch.no_grad():
        step = _Step(_without_values(ldrm), train=False)
        step(**_inputs(ldrm, num_frames, height, width, num_times, image_size, batch))
    by_module = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    flops = {}
    for name, part in ldrm.named_children():
        # A list of layers is never called itself.
        names = [f"{name}.{i}" for i in range(len(part))] if isinstance(part, nn.ModuleList) else [name]
        flops[name] = sum(by_module.get(f"_Step.ldrm.{name}", 0) for name in names)
    return {**flops, "geometry": by_module["Global"] - sum(flops.values())}


class _Step(nn.Module):
    """The field of a clip and, to train, `backward` from all that it holds, as one call."""

    def __init__(self, ldrm: LDRM, *, train: bool) -> None:
        super().__init__()
        self.ldrm = ldrm
        self.train_step = train

    def forward(self, latents: Tensor, cameras: Cameras, **options: Any) -> DeformableGaussianField:
        field: DeformableGaussianField = self.ldrm(latents, cameras, **options)
        if self.train_step:
            values = [*vars(field.canonical).values(), *vars(field).values()]
            learned = [value for value in values if isinstance(value, Tensor) and value.requires_grad]
            torch.stack([value.square().mean() for value in learned]).sum().backward()
        return field


def _without_values(ldrm: LDRM) -> LDRM:
    """A copy with stand-ins for the weights, on the CPU whatever their device.

    The model itself is left alone, so that another thread may run it meanwhile.
    """
    stand_ins = {
        id(value): nn.Parameter(
            torch.empty(value.shape, dtype=value.dtype, device="cpu"), requires_grad=value.requires_grad
        )
        for value in ldrm.parameters()
    }
    return copy.deepcopy(ldrm, stand_ins)


class LiveBytes(TorchDispatchMode):
    """Inside it, the bytes of all tensors that operators make are counted until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._live: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self._live:  # a view, or changed in place
            return
        self._live.add(id(storage))
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, id(storage), storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self._live.remove(key)
        self.now -= size


def _inputs(
    ldrm: LDRM,
    num_frames: int,
    height: int,
    width: int,
    num_times: int | None,
    image_size: tuple[int, int] | None,
    batch: int,
) -> dict[str, Any]:
    """What `LDRM.forward` takes, of these sizes."""
    sizes = {"num_frames": num_frames, "height": height, "width": width, "batch": batch}
    if num_times is not None:
        sizes["num_times"] = num_times
    if image_size is not None:
        sizes["image_size[0]"], sizes["image_size[1]"] = image_size
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}.")
    dtype = next(ldrm.parameters()).dtype
    wide = torch.promote_types(dtype, torch.float32)
    num_latents = (num_frames - 1) // ldrm.temporal_stride + 1
    sides = (height // ldrm.spatial_stride, width // ldrm.spatial_stride)
    poses = torch.empty(batch, num_frames, 4, 4, dtype=wide)
    intrinsics = torch.empty(batch, num_frames, 3, 3, dtype=wide)
    channels = ldrm.feature_channels
    return {
        "latents": torch.empty(batch, num_latents, ldrm.latent_channels, *sides, dtype=dtype),
        "cameras": Cameras(poses, intrinsics, height, width),
        "image": None if image_size is None else torch.empty(batch, 3, *image_size, dtype=wide),
        "features": torch.empty(batch, num_latents, channels, *sides, dtype=dtype) if channels else None,
        "times": None if num_times is None else torch.empty(num_times, dtype=wide),
    }
