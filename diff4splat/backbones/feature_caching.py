"""Feature caches of diffusers for a video transformer: on, checked, reset, calibrated and counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

__all__ = ["BlockCount", "Cache", "FeatureCache", "calibrate_mag_cache", "count_blocks", "find_blocks"]

Cache = Literal["first_block", "mag", "pyramid", "taylor"]
"""Names of the caches, see `SpeedOptions`."""

_PASS_HOOK, _NEVER = "diff4splat_pass", 2**62


@dataclass
class BlockCount:
    """What ran inside `count_blocks`.

    Args:
        passes: Passes of the transformer.
        blocks: Blocks that were computed.
        attentions: Self-attentions that were computed.
        blocks_per_pass: Blocks of the transformer.
    """

    passes: int = 0
    blocks: int = 0
    attentions: int = 0
    blocks_per_pass: int = 0

    @property
    def share(self) -> float:
        """Computed blocks over those of passes without a cache, in [0, 1]; 1 before the first pass."""
        return self.blocks / (self.passes * self.blocks_per_pass) if self.passes else 1.0


@contextmanager
def count_blocks(transformer: nn.Module) -> Iterator[BlockCount]:
    """Count what a transformer computes: how much a cache saves with given weights and threshold.

    Args:
        transformer: A video transformer of diffusers, with or without a cache; not compiled.

    Yields:
        The count, which grows while the block runs.

    Raises:
        ValueError: If the transformer has no list of blocks.
    """
    blocks = find_blocks(transformer)
    count = BlockCount(blocks_per_pass=len(blocks))

    def counter(name: str) -> Any:
        def add(module: nn.Module, inputs: Any) -> None:
            setattr(count, name, getattr(count, name) + 1)

        return add

    handles = [transformer.register_forward_pre_hook(counter("passes"))]
    for block in blocks:
        # Caches replace the forward of the block or of its attention; what lies inside runs only if they do.
        handles.append(next(block.children()).register_forward_pre_hook(counter("blocks")))
        query = getattr(getattr(block, "attn1", None), "to_q", None)
        if query is not None:
            handles.append(query.register_forward_pre_hook(counter("attentions")))
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


def find_blocks(transformer: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a video transformer.

    Args:
        transformer: A video transformer of diffusers.

    Returns:
        Blocks in the order in which they run.

    Raises:
        ValueError: If there is no list of blocks under the names that diffusers uses.
    """
    for name in ("blocks", "transformer_blocks"):
        blocks = getattr(transformer, name, None)
        if isinstance(blocks, nn.ModuleList) and len(blocks):
            return list(blocks)
    raise ValueError(
        f"{type(transformer).__name__} has no list of blocks named blocks or transformer_blocks, so caches "
        "and compile do nothing for it: use offload or storage."
    )


class FeatureCache:
    """A cache of diffusers that is on for a transformer.

    Args:
        transformer: A video transformer of diffusers.
        cache: Which one.
        threshold: For "first_block" and "mag"; the default of diffusers when omitted.
        interval: For "pyramid" and "taylor"; 2 and 5 when omitted.
        ratios: For "mag": one per sampling step of the calibration.

    Raises:
        ValueError: If the cache would do nothing for this transformer, or one is on already.
    """

    def __init__(
        self,
        transformer: Any,
        cache: Cache,
        *,
        threshold: float | None = None,
        interval: int | None = None,
        ratios: tuple[float, ...] | None = None,
    ) -> None:
        name = type(transformer).__name__
        blocks = find_blocks(transformer)
        if transformer.is_cache_enabled:
            raise ValueError(f"a cache is already on in this {name}: remove it first.")
        if len(blocks) < 2:
            raise ValueError(f"cache={cache!r} needs two or more blocks, this {name} has {len(blocks)}.")
        self._transformer = transformer
        self._ratios = ratios
        self._running = False
        self._pass_hook: Any = _pass_hook(transformer) if cache == "pyramid" else None
        self._config = _config(transformer, cache, threshold, interval, ratios, self._pass_hook)
        transformer.enable_cache(self._config)
        self._guard = transformer.register_forward_pre_hook(self._check_running)
        places = [block.get_submodule("attn1") for block in blocks] if cache == "pyramid" else blocks
        if cache == "taylor":  # the blocks are skipped, what leaves the network is extrapolated
            places = [*blocks, transformer.proj_out]
        hooks = [_cache_hook(place, cache) for place in places]
        held = sum(hook is not None for hook in hooks)
        if held < len(places):
            self.remove()
            others = ", ".join(other for other in get_args(Cache) if other != cache)
            raise ValueError(
                f"cache={cache!r} takes hold in {held} of {len(places)} layers of {name} and would do little "
                f"or nothing: try {others}, or fewer steps."
            )
        if self._pass_hook is not None:
            self._pass_hook.attentions = hooks
        what = "self-attentions" if cache == "pyramid" else "blocks"
        self.found = f"{cache} in {len(blocks)} {what}"

    def begin(self, num_steps: int) -> None:
        """Forget all, and prepare for a generation; `end` follows it.

        Args:
            num_steps: Its sampling steps.
        """
        self._transformer._reset_stateful_cache()
        self._running = True
        if self._ratios is not None:
            from diffusers.hooks import MagCacheConfig

            fresh = MagCacheConfig(num_inference_steps=num_steps, mag_ratios=list(self._ratios))
            # The hooks of all blocks hold this one object.
            self._config.num_inference_steps, self._config.mag_ratios = num_steps, fresh.mag_ratios

    def _check_running(self, module: nn.Module, inputs: Any) -> None:
        """Outside of a generation, as in training, a pass would be answered from another one."""
        if not self._running:
            raise RuntimeError(
                "a feature cache is on: wrap the sampling loop in generation(num_steps) of the switches, or "
                "remove them."
            )

    def end(self) -> None:
        """Free what is cached."""
        self._transformer._reset_stateful_cache()
        self._running = False

    def remove(self) -> None:
        """Turn the cache off."""
        self._guard.remove()
        self._transformer.disable_cache()
        if self._pass_hook is not None:
            self._transformer._diffusers_hook.remove_hook(_PASS_HOOK, recurse=False)
            self._transformer._diffusers_hook.invalidate_child_registries_cache()


@contextmanager
def calibrate_mag_cache(transformer: Any, num_steps: int) -> Iterator[list[float]]:
    """Measure the ratios that `SpeedOptions(cache="mag")` needs, during one generation without a cache.

    Per step: the norm of the change that all blocks together make to a token, over that of the step before,
    mean over tokens. They belong to the weights, the scheduler and about the number of steps; other numbers
    are interpolated.

    Args:
        transformer: The transformer of a backbone, without a cache.
        num_steps: Sampling steps of the generation; 2 or more.

    Yields:
        A list that is filled when the block ends: run one generation inside, then give it to `SpeedOptions`.

    Raises:
        ValueError: If a cache is on, or the generation inside had another number of steps.
    """
    from diffusers.hooks import MagCacheConfig

    if num_steps < 2:
        raise ValueError(f"num_steps must be >= 2, got {num_steps}.")
    blocks = find_blocks(transformer)
    if transformer.is_cache_enabled:
        raise ValueError("calibrate_mag_cache needs a transformer without a cache: remove it first.")
    # At the end of the number of steps that it is told, diffusers prints the ratios and forgets them.
    transformer.enable_cache(MagCacheConfig(num_inference_steps=_NEVER, calibrate=True))
    ratios: list[float] = []
    try:
        yield ratios
        states = _cache_hook(blocks[0], "mag").state_manager._state_cache
        conditional = next(iter(states.values())).calibration_ratios if states else []
        if len(conditional) != num_steps:
            raise ValueError(
                f"num_steps must be that of the generation, got {num_steps} and {len(conditional)} steps."
            )
        ratios.extend(conditional)
    finally:
        transformer.disable_cache()


def _config(
    transformer: Any,
    cache: Cache,
    threshold: float | None,
    interval: int | None,
    ratios: tuple[float, ...] | None,
    pass_hook: Any,
) -> Any:
    from diffusers import hooks

    if cache == "first_block":
        return hooks.FirstBlockCacheConfig(threshold=0.05 if threshold is None else threshold)
    if cache == "mag":
        threshold = 0.06 if threshold is None else threshold
        # The number of steps is that of each generation, see `begin`.
        return hooks.MagCacheConfig(
            threshold=threshold, num_inference_steps=len(ratios or ()), mag_ratios=list(ratios or ())
        )
    if cache == "taylor":
        # Without the lite mode diffusers looks for modules of other names than Wan has, and finds none.
        return hooks.TaylorSeerCacheConfig(
            cache_interval=interval or 5, use_lite_mode=True, taylor_factors_dtype=transformer.dtype
        )
    return hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=interval or 2,
        current_timestep_callback=lambda: pass_hook.timestep,
    )


def _cache_hook(place: nn.Module, cache: Cache) -> Any:
    """The hook of a cache on a module, if it is there."""
    registry = getattr(place, "_diffusers_hook", None)
    names = {
        "first_block": ("fbc_leader_block_hook", "fbc_block_hook"),
        "mag": ("mag_cache_leader_block_hook", "mag_cache_block_hook"),
        "pyramid": ("pyramid_attention_broadcast",),
        "taylor": ("taylorseer_cache",),
    }[cache]
    found = [] if registry is None else [hook for name in names if (hook := registry.get_hook(name))]
    return found[0] if found else None


def _pass_hook(transformer: Any) -> Any:
    """A hook that tells pyramid attention the timestep, and keeps the two passes of a step apart.

    That cache of diffusers holds one state per layer: where the conditional and unconditional passes are
    separate calls, the second would take the attention of the first, and guidance would fade.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.hooks.hooks import BaseState, ModelHook, StateManager
    from diffusers.hooks.pyramid_attention_broadcast import PyramidAttentionBroadcastState

    class PassState(BaseState):
        def __init__(self) -> None:
            self.layers: list[Any] = []

        def reset(self) -> None:
            self.layers = []

    class PassHook(ModelHook):
        _is_stateful = True

        def __init__(self) -> None:
            super().__init__()
            self.state_manager = StateManager(PassState)
            self.attentions: list[Any] = []
            self.timestep = 0.0

        def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            if "timestep" not in kwargs:
                raise ValueError('cache="pyramid" needs timestep as a keyword argument of the transformer.')
            self.timestep = float(kwargs["timestep"].max())
            state = self.state_manager.get_state()
            if not state.layers:
                state.layers = [PyramidAttentionBroadcastState() for _ in self.attentions]
            for hook, layer in zip(self.attentions, state.layers, strict=True):
                hook.state = layer
            return args, kwargs

        def reset_state(self, module: nn.Module) -> nn.Module:
            self.state_manager.reset()
            return module

    hook = PassHook()
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(hook, _PASS_HOOK)
    return hook
