"""Guidance of this library inside the pipelines of diffusers."""

from typing import TYPE_CHECKING

from torch import Tensor

from diff4splat.diffusion import Guidance

if TYPE_CHECKING:
    from diffusers.guiders.guider_utils import BaseGuidance

__all__ = ["diffusers_guider"]


def diffusers_guider(guidance: Guidance) -> "BaseGuidance":
    """Guider for the modular pipelines of diffusers that follows a guidance of this library.

    It is a `diffusers.guiders.ClassifierFreeGuidance` whose scale, combination and skipped unconditional
    passes are those of `guidance` at each step, counted by the step index. Give it to a pipeline where the
    pipeline takes a guider: `pipe.update_components(guider=diffusers_guider(CosineGuidance()))`.

    Args:
        guidance: Guidance such as `CosineGuidance()`.

    Returns:
        The guider. Its state (the current step) is set by the pipeline, so give each pipeline its own.

    Raises:
        ModuleNotFoundError: If diffusers is missing; the message says how to install it.
    """
    try:
        from diffusers.guiders.classifier_free_guidance import ClassifierFreeGuidance
        from diffusers.guiders.guider_utils import GuiderOutput
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "diffusers":
            raise
        raise ModuleNotFoundError(
            "diffusers_guider needs diffusers 0.36 or newer: pip install 'diff4splat[diffusers]'",
            name="diffusers",
        ) from None

    class Diff4SplatGuider(ClassifierFreeGuidance):
        def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None) -> GuiderOutput:
            prediction = pred_cond
            if pred_uncond is not None:
                scale = guidance.scale(self._step, self._num_inference_steps)
                prediction = guidance.combine(pred_cond, pred_uncond, scale)
            return GuiderOutput(pred=prediction, pred_cond=pred_cond, pred_uncond=pred_uncond)

        def new(self, **options: object) -> "BaseGuidance":
            """A guider of its own for another pipeline; diffusers would rebuild it from its configuration."""
            if options:
                raise ValueError(
                    f"options of the guidance are its own, got {', '.join(options)}: make another guidance."
                )
            return diffusers_guider(guidance)

        def _is_cfg_enabled(self) -> bool:
            if not self._enabled:
                return False
            # Before the first step diffusers asks which inputs there can be at all.
            known = self._num_inference_steps is not None
            return not known or guidance.needs_unconditional(self._step, self._num_inference_steps)

    return Diff4SplatGuider()
