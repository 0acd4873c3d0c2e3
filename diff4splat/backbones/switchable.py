"""A backbone that keeps its speed switches: on, around each generation, and left alone when it is moved."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from diff4splat.backbones.denoising import reset_cache
from diff4splat.backbones.speed import AppliedSpeed, SpeedOptions, apply_speed

__all__ = ["Switchable"]

_Backbone = TypeVar("_Backbone", bound=nn.Module)


class Switchable(nn.Module):
    """Base of backbones with a transformer of diffusers: `use` turns switches on.

    A subclass surrounds its sampling loop with `self.generation(num_steps)`.
    """

    _speed: AppliedSpeed | None = None

    def use(self, options: SpeedOptions, *, device: str | torch.device | None = None) -> AppliedSpeed:
        """Turn switches on; those of an earlier call are turned off first.

        Args:
            options: What to switch on; `SpeedOptions()` for nothing.
            device: Where to compute, for `offload`; the first GPU when omitted.

        Returns:
            The switches; `found` says what each one changed.

        Raises:
            ValueError: If a switch does nothing for this model, or an earlier one cannot be turned off.
        """
        if self._speed is not None:
            self._speed.remove()
            self._speed = None
        self._speed = apply_speed(self, options, device=device)
        return self._speed

    @contextmanager
    def generation(self, num_steps: int) -> Iterator[None]:
        """What the switches need around one generation; also frees caches that were turned on elsewhere.

        Args:
            num_steps: Sampling steps.

        Yields:
            Nothing; sample inside.
        """
        try:
            with nullcontext() if self._speed is None else self._speed.generation(num_steps):
                yield
        finally:
            for part in self.children():
                reset_cache(part)

    def to(self: _Backbone, *args: Any, **kwargs: Any) -> _Backbone:
        """Move the parts or change their type; with `offload` on, weights stay where they wait.

        Args:
            *args: As for `torch.nn.Module.to`.
            **kwargs: As for `torch.nn.Module.to`.

        Returns:
            The backbone itself.
        """
        speed = self._speed
        if isinstance(speed, AppliedSpeed) and speed.options.offload is not None:
            return self
        return super().to(*args, **kwargs)
