"""The loss of a video diffusion model: what it predicts for noisy latents, be it a flow or v."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion import noise_interpolate, sample_times, velocity_target

__all__ = ["DenoisingModel", "denoising_loss"]


@runtime_checkable
class DenoisingModel(Protocol):
    """What `denoising_loss` asks of a video model; the backbones on diffusers have it."""

    scheduler: Any

    def predict(self, latents: Tensor, timestep: Tensor, condition: Any, conditional: bool = True) -> Tensor:
        """Prediction of the network, see `DiffusersBackbone.predict`."""
        ...

    def hold(self, latents: Tensor, condition: Any) -> Tensor:
        """Latents with what is known put in place, see `DiffusersBackbone.hold`."""
        ...


def denoising_loss(
    backbone: DenoisingModel,
    latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
    condition: Any,
    *,
    times: Float[Tensor, " batch"] | None = None,
    conditional: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    r"""Squared error of what a video model predicts for a noisy clip, per clip.

    $$\mathcal{L} = \lVert m \odot (f_\theta(z_t, t) - y) \rVert^2 / \lVert m \rVert^2$$

    where $m$ is 1 except where the model is given the value, as it is the first frame by some. The noisy
    latents and the target follow from the clean ones $z$ and noise $\epsilon$ by what the scheduler predicts:

    $$z_t = (1 - t) \, z + t \, \epsilon, \quad y = \epsilon - z \quad \text{(flow)}$$

    $$z_t = \sqrt{\bar\alpha_t} \, z + \sqrt{1 - \bar\alpha_t} \, \epsilon, \quad
      y = \sqrt{\bar\alpha_t} \, \epsilon - \sqrt{1 - \bar\alpha_t} \, z \quad \text{(v-prediction)}$$

    Source: Diff4Splat, Eq. 2, for the flow; Salimans and Ho, "Progressive Distillation for Fast Sampling of
    Diffusion Models", Appendix D, for v. Differs: a mean, so that the value does not grow with the clip.

    Args:
        backbone: Video model, such as a `DiffusersBackbone`. Freeze what is not to be trained.
        latents: Clean latents of the clip, as `backbone.encode` gives them.
        condition: As `backbone.condition` gives it, with gradients to the camera adapter. Make it anew for
            each step, since the adapter changes.
        times: Noise levels in [0, 1], uniform draws when omitted; `sample_times` draws others. For
            v-prediction a fraction of the training timesteps.
        conditional: False for the pass without the prompt, to train both.
        generator: Source of randomness.

    Returns:
        One value per clip, not reduced over the batch, float32.

    Raises:
        ValueError: If the scheduler predicts neither a flow nor v, or the shapes do not fit.
    """
    kind = backbone.scheduler.config.get("prediction_type", "flow_prediction")
    if kind not in ("flow_prediction", "v_prediction"):
        raise ValueError(f"the scheduler must predict a flow or v, got prediction_type={kind!r}.")
    clean = _padded(latents.float(), condition.shape)
    if times is None:
        times = sample_times(len(clean), generator=generator)
    if times.shape != clean.shape[:1]:
        raise ValueError(f"times must have one value per clip ({len(clean)}), got {tuple(times.shape)}.")
    device = times.device if generator is None else generator.device
    noise = torch.randn(clean.shape, generator=generator, device=device).to(clean)
    times = times.to(clean)
    steps = backbone.scheduler.config["num_train_timesteps"]
    if kind == "flow_prediction":
        timestep = times * steps
        noisy, target = noise_interpolate(clean, noise, times), velocity_target(clean, noise)
    else:
        timestep = (times * steps).long().clamp(max=steps - 1)
        kept = backbone.scheduler.alphas_cumprod.to(clean)[timestep][:, None, None, None, None]
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        target = kept.sqrt() * noise - (1 - kept).sqrt() * clean
    prediction = backbone.predict(backbone.hold(noisy, condition), timestep, condition, conditional)
    ones = torch.ones_like(clean)
    free = backbone.hold(ones, condition) - backbone.hold(torch.zeros_like(clean), condition)
    free[:, : clean.shape[1] - latents.shape[1]] = 0
    error = (free * (prediction.float() - target)).square()
    return error.flatten(1).sum(1) / free.flatten(1).sum(1)


def _padded(latents: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Latents with the first frame repeated in front, as many as the model samples."""
    missing = shape[1] - latents.shape[1]
    if missing < 0 or tuple(latents.shape) != (shape[0], latents.shape[1], *shape[2:]):
        raise ValueError(f"latents must have the shape of the condition {shape}, got {tuple(latents.shape)}.")
    return torch.cat((latents[:, :1].expand(-1, missing, -1, -1, -1), latents), dim=1)
