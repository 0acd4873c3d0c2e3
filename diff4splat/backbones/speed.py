"""Speed and memory switches of a diffusers video model, each verified to do something for that model."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from diff4splat.backbones.feature_caching import Cache, FeatureCache, find_blocks
from diff4splat.backbones.offloading import Offload, find_device, offload_parts

__all__ = ["AppliedSpeed", "SpeedOptions", "apply_speed"]

_THRESHOLD, _INTERVAL = ("first_block", "mag"), ("pyramid", "taylor")
_PARTS = ("text_encoder", "image_encoder", "vae", "camera_adapter", "transformer", "transformer_2")


@dataclass(frozen=True)
class SpeedOptions:
    """What to switch on. All values are JSON values, so the options can stand in a configuration file.

    Exact, up to rounding: `compile`, `attention` ("native"), `offload`, `context_parallel`. Approximate:
    `cache`, `storage`, and attention in 8 bits ("sage"). Two savings need no switch: the unconditional pass
    is left out wherever `guidance.needs_unconditional` is false (`network_passes` counts them), and the video
    is never decoded where the reconstructor reads latents.

    Args:
        cache: Reuse what changes little between steps. "first_block": all blocks but the first are skipped
            where the first one's output moved less than `cache_threshold` (relative, default 0.05). "mag":
            all blocks are skipped while the accumulated change, foretold by `mag_ratios`, stays below
            `cache_threshold` (default 0.06), three steps at most. "taylor": all blocks run every
            `cache_interval` steps (default 5), the steps between are extrapolated. "pyramid": self-attention
            runs every `cache_interval` steps (default 2) at timesteps from 100 to 800.
        cache_threshold: Larger skips more; for "first_block" and "mag".
        cache_interval: Steps, at least 2; for "taylor" and "pyramid".
        mag_ratios: What `calibrate_mag_cache` measured for these weights; "mag" needs them.
        compile: Compile the blocks of the transformer (`torch.compile`); the first pass takes minutes. Goes
            with the caches "first_block" and "taylor" and with `offload` "model" and "group".
        attention: Attention backend of diffusers, such as "native", "_native_cudnn", "sage", "flash_hub". The
            names with "hub" fetch a kernel from the Hugging Face Hub and run it.
        offload: Keep weights in main memory. "model": one part (text encoder, autoencoder, camera adapter,
            transformer) is on the GPU at a time; "group": one block at a time, the next one on its way;
            "leaf": one layer.
        storage: "float8" keeps the large matrices of the transformer in 8 bits; it computes in the type it
            has.
        context_parallel: Share the tokens of one clip between the processes of `torchrun`, one per GPU:
            "ulysses" (their number divides tokens and heads), "ulysses_anything" (any numbers), "ring" (for
            long clips; needs an `attention` other than "native").

    Raises:
        ValueError: If an option is unknown, out of range, or does not go with another one.

    Examples:
        >>> from dataclasses import asdict
        >>> options = SpeedOptions(cache="first_block", offload="group")
        >>> SpeedOptions(**asdict(options)) == options
        True
    """

    cache: Cache | None = None
    cache_threshold: float | None = None
    cache_interval: int | None = None
    mag_ratios: Sequence[float] | None = None
    compile: bool = False
    attention: str | None = None
    offload: Offload | None = None
    storage: Literal["float8"] | None = None
    context_parallel: Literal["ulysses", "ulysses_anything", "ring"] | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("cache", (*_THRESHOLD, *_INTERVAL)),
            ("offload", ("model", "group", "leaf")),
            ("storage", ("float8",)),
            ("context_parallel", ("ulysses", "ulysses_anything", "ring")),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)} or None, got {value!r}.")
        for name, users in (("cache_threshold", _THRESHOLD), ("cache_interval", _INTERVAL)):
            if getattr(self, name) is not None and self.cache not in users:
                raise ValueError(f"{name} is for the caches {' and '.join(users)}, got cache={self.cache!r}.")
        if self.cache_threshold is not None and not self.cache_threshold > 0:
            raise ValueError(f"cache_threshold must be > 0, got {self.cache_threshold}.")
        if self.cache_interval is not None and self.cache_interval < 2:
            raise ValueError(f"cache_interval must be >= 2, got {self.cache_interval}.")
        if self.mag_ratios is not None:
            object.__setattr__(self, "mag_ratios", tuple(float(ratio) for ratio in self.mag_ratios))
        if (self.cache == "mag") != bool(self.mag_ratios):
            raise ValueError(
                'cache="mag" and mag_ratios belong together; calibrate_mag_cache measures the ratios, '
                f"got cache={self.cache!r}, mag_ratios={self.mag_ratios}."
            )
        if self.context_parallel == "ring" and self.attention in (None, "native"):
            raise ValueError(
                'context_parallel="ring" needs an attention that returns its normaliser, such as '
                f'"_native_cudnn" or "flash_hub", got attention={self.attention!r}.'
            )
        # Their hooks inside a block keep it from being compiled, or have it compiled until PyTorch gives up.
        hindrance = {
            "cache": self.cache in ("mag", "pyramid"),
            "storage": self.storage is not None,
            "offload": self.offload == "leaf",
        }
        if self.compile and any(hindrance.values()):
            name = next(name for name, hinders in hindrance.items() if hinders)
            value = getattr(self, name)
            raise ValueError(f"compile does nothing beside {name}={value!r}: leave one of them out.")
        if self.context_parallel is not None and self.offload is not None:
            raise ValueError("context_parallel keeps the weights on every GPU: leave offload out.")


class AppliedSpeed:
    """Switches that are on, as `apply_speed` returns them.

    Args:
        options: What was asked for.
        found: For each switch that is on, what was found to have changed, in words.
        device: Where the parts compute; their weights may rest elsewhere.
        caches: Feature cache of each transformer, if one is on.
        undo: Turns the switches off when closed.
        resting: Parts that go back to main memory after each generation; "model" leaves the last one on the
            GPU.
    """

    def __init__(
        self,
        options: SpeedOptions,
        found: dict[str, str],
        device: torch.device,
        caches: Sequence[FeatureCache],
        undo: ExitStack,
        resting: Iterable[nn.Module] = (),
    ) -> None:
        self.options = options
        self.found = found
        self.device = device
        self._caches = list(caches)
        self._undo = undo
        self._resting = list(resting)

    @contextmanager
    def generation(self, num_steps: int) -> Iterator[None]:
        """Surround one generation: what was cached for another one is forgotten before and freed after it.

        Args:
            num_steps: Sampling steps of the generation, at least 1.

        Yields:
            Nothing. Inside, each pass of the transformer is wrapped in its `cache_context("cond")` or
            `cache_context("uncond")`.

        Raises:
            ValueError: If `num_steps` < 1.
        """
        if num_steps < 1:
            raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
        for cache in self._caches:
            cache.begin(num_steps)
        try:
            yield
        finally:
            for cache in self._caches:
                cache.end()
            for part in self._resting:
                part.to("cpu")

    def remove(self) -> None:
        """Turn the switches off.

        Raises:
            ValueError: If the weights were rounded to 8 bits or split over processes, which cannot be undone.
        """
        if self.options.storage or self.options.context_parallel:
            name = "storage" if self.options.storage else "context_parallel"
            raise ValueError(f"{name} cannot be undone: load the model again.")
        self._undo.close()
        self.found, self._caches, self._resting = {}, [], []


def apply_speed(
    backbone: object, options: SpeedOptions, *, device: str | torch.device | None = None
) -> AppliedSpeed:
    """Turn switches on through the mechanisms of diffusers, and check that each one has taken hold.

    Args:
        backbone: Any object with a diffusers `transformer`, and perhaps a `transformer_2`; its `vae`,
            `text_encoder`, `image_encoder` and `camera_adapter`, if any, take part in offloading.
        options: What to switch on.
        device: Where to compute, for `offload`, which takes weights that lie in main memory; the first GPU
            when omitted. Elsewhere parts compute where they are.

    Returns:
        The switches. Surround each generation with its `generation`.

    Raises:
        ModuleNotFoundError: If a switch needs a package that is missing.
        RuntimeError: If this machine cannot do what a switch needs.
        ValueError: If a switch does nothing for this model; the message says what works instead.
    """
    parts = {name: part for name in _PARTS if isinstance(part := getattr(backbone, name, None), nn.Module)}
    if options == SpeedOptions():
        return AppliedSpeed(options, {}, _device_of(backbone, parts), (), ExitStack())
    transformers = _check_transformers(backbone, parts)
    if options.cache == "mag" and len(transformers) > 1:
        raise ValueError(
            'cache="mag" counts the steps of one transformer, and this model has two experts: try '
            "first_block or taylor."
        )
    found: dict[str, str] = {}
    caches: list[FeatureCache] = []
    with ExitStack() as undo:
        for transformer in transformers:
            if options.attention is not None:
                found["attention"] = _set_attention(transformer, options.attention, undo)
            if options.storage is not None:
                found["storage"] = _store_in_float8(transformer)
        if options.offload is not None:
            target = torch.device(device) if device is not None else _first_gpu()
            found["offload"] = offload_parts(parts, options.offload, target, undo)
        # Caches go around the hooks that fetch weights: what is skipped is not fetched.
        for transformer in transformers:
            if options.cache is not None:
                ratios = None if options.mag_ratios is None else tuple(options.mag_ratios)
                cache = FeatureCache(
                    transformer,
                    options.cache,
                    threshold=options.cache_threshold,
                    interval=options.cache_interval,
                    ratios=ratios,
                )
                undo.callback(cache.remove)
                caches.append(cache)
                found["cache"] = cache.found
            if options.context_parallel is not None:
                found["context_parallel"] = _split_tokens(transformer, options.context_parallel)
            if options.compile:
                found["compile"] = _compile_blocks(transformer, options, undo)
        resting = parts.values() if options.offload == "model" else ()
        place = find_device(transformers[0])
        return AppliedSpeed(options, found, place, caches, undo.pop_all(), resting)


def _check_transformers(backbone: object, parts: dict[str, nn.Module]) -> list[Any]:
    name = type(backbone).__name__
    transformers = [part for key, part in parts.items() if key.startswith("transformer")]
    if not transformers:
        raise ValueError(
            f"{name} has no transformer of diffusers, so none of the speed switches works with it; they are "
            "for backbones such as cogvideox and wan2.1. Fewer sampling steps make any backbone faster."
        )
    if importlib.util.find_spec("diffusers") is None:
        raise ModuleNotFoundError(
            "speed switches need diffusers: pip install 'diff4splat[diffusers]'", name="diffusers"
        )
    from diffusers.models.cache_utils import CacheMixin
    from diffusers.models.modeling_utils import ModelMixin

    for transformer in transformers:
        if not isinstance(transformer, ModelMixin) or not isinstance(transformer, CacheMixin):
            raise ValueError(
                f"the transformer of {name} must be a model of diffusers with cache_context, got "
                f"{type(transformer).__name__}; load its weights into such a class to use the speed switches."
            )
    return transformers


def _device_of(backbone: object, parts: dict[str, nn.Module]) -> torch.device:
    module = parts.get("transformer", backbone)
    return find_device(module) if isinstance(module, nn.Module) else torch.device("cpu")


def _first_gpu() -> torch.device:
    if not torch.cuda.is_available():
        raise RuntimeError("offload needs a GPU to compute on, PyTorch finds none; name another device.")
    return torch.device("cuda", 0)


def _set_attention(transformer: Any, name: str, undo: ExitStack) -> str:
    from diffusers.models.attention_dispatch import attention_backend

    processors = [
        module.processor
        for module in transformer.modules()
        if hasattr(getattr(module, "processor", None), "_attention_backend")
    ]
    if not processors:
        raise ValueError(
            f"{type(transformer).__name__} takes no attention backend of diffusers, so attention={name!r} "
            "would do nothing: leave it out, PyTorch picks its own fast kernel."
        )
    try:
        with attention_backend("native"):  # diffusers would also change the default of the whole process
            transformer.set_attention_backend(name)
    except (ImportError, RuntimeError, ValueError) as error:
        raise RuntimeError(f"attention={name!r} cannot be used here: {error}") from error
    undo.callback(transformer.reset_attention_backend)
    changed = sum(
        getattr(processor._attention_backend, "value", None) == name.lower() for processor in processors
    )
    if changed < len(processors):
        raise RuntimeError(f"attention={name!r} took hold in {changed} of {len(processors)} layers only.")
    return f"{name} in {changed} attention layers"


def _store_in_float8(transformer: Any) -> str:
    dtype = transformer.dtype
    transformer.enable_layerwise_casting(torch.float8_e4m3fn, compute_dtype=dtype)
    sizes = [(tensor.numel(), tensor.dtype == torch.float8_e4m3fn) for tensor in transformer.parameters()]
    total, small = sum(size for size, _ in sizes), sum(size for size, stored in sizes if stored)
    if not small:
        raise ValueError(
            f"{type(transformer).__name__} has no layer that can be stored in 8 bits, so storage does "
            'nothing: use offload="group" to save memory.'
        )
    return f"{100 * small / total:.0f} % of the parameters in float8, computed in {str(dtype)[6:]}"


def _split_tokens(transformer: Any, method: str) -> str:
    from torch import distributed

    name = type(transformer).__name__
    if not transformer._cp_plan:
        raise ValueError(
            f"{name} has no plan in diffusers for context_parallel (the Wan models have one): run one clip "
            "per GPU instead."
        )
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if processes < 2:
        raise RuntimeError(
            "context_parallel needs two or more processes and one GPU for each: start the program with "
            "torchrun --nproc-per-node 2 and call torch.distributed.init_process_group() first."
        )
    if torch.accelerator.device_count() < 1:
        raise RuntimeError("context_parallel needs a GPU for each process, PyTorch finds none.")
    from diffusers import ContextParallelConfig

    if method == "ring":
        config = ContextParallelConfig(ring_degree=processes)
    else:
        anything = method == "ulysses_anything"
        config = ContextParallelConfig(ulysses_degree=processes, ulysses_anything=anything)
    transformer.enable_parallelism(config=config)
    hooked = sum(
        any(hook.startswith("cp_") for hook in module._diffusers_hook.hooks)
        for module in transformer.modules()
        if hasattr(module, "_diffusers_hook")
    )
    if hooked < len(transformer._cp_plan):
        raise RuntimeError(f"context_parallel took hold in {hooked} of {len(transformer._cp_plan)} modules.")
    return f"{method} over {processes} processes"


def _compile_blocks(transformer: Any, options: SpeedOptions, undo: ExitStack) -> str:
    blocks = find_blocks(transformer)
    # Hooks of diffusers inside a block break its graph, and have to.
    whole = options.cache is None and options.offload is None and options.context_parallel is None
    for block in blocks:
        block.compile(fullgraph=whole)
    compiled = sum(block._compiled_call_impl is not None for block in blocks)
    if compiled < len(blocks):
        raise RuntimeError(f"compile took hold in {compiled} of {len(blocks)} blocks.")

    def plain() -> None:
        for block in blocks:
            block._compiled_call_impl = None

    undo.callback(plain)
    return f"{compiled} blocks"
