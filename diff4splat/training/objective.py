"""What a stage minimises: the parts of a pipeline and the losses of the stage as one module."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.cameras import latent_rays
from diff4splat.data.clips import KEY_STRIDE
from diff4splat.diffusion import flow_matching_loss, noise_interpolate
from diff4splat.losses import (
    LpipsDistance,
    pearson_depth_loss,
    photometric_mse,
    total_variation_loss,
    weighted_sum,
)
from diff4splat.models import LDRM
from diff4splat.rendering import Rendering
from diff4splat.training.draws import Draws
from diff4splat.training.map_terms import depth_terms, motion_terms
from diff4splat.training.recipe import LOSSES, RENDERED, Stage
from diff4splat.training.targets import batch_cameras, is_known, on_coarser_grid

__all__ = ["Objective", "StepValues"]

_DROPPED_PROMPTS = 0.1


class StepValues(NamedTuple):
    """What a step gives.

    Args:
        loss: The weighted sum of the terms, mean over the clips, see `Objective`; carries gradients.
        terms: Each term, not weighted, mean over the clips; detached.
        ratios: Two sums each, whose ratio tells more than a loss: "motion" and "rotation", the error on
            moving pixels over that of no motion; detached.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    ratios: dict[str, Tensor]


class Objective(nn.Module):
    r"""Losses of a stage for a batch of clips.

    $$\mathcal{L} = \frac{1}{B} \sum_{b} \sum_i \lambda_i\, w_{i, b}\, \mathcal{L}_{i, b}$$

    with weights $\lambda$ = `stage.losses` and clips $b$. $w$ is 1, but $1 - t$ for the losses of the
    reconstruction model when it reads denoised latents, with $t$ the noise level of the clip: an estimate
    from nearly pure noise is an average of many clips, and shows little of this one. The losses:

    - "pixel" $\overline{\sqrt{e^2 + 10^{-4}}}$ and "edges" $\overline{|\nabla e|}$ of the error $e$ of
      decoded pixels, the latter added up over time, rows and columns; "kl" in nats per latent value. With
      "kl" latents are drawn from the posterior, else they are its mean.
    - "flow_matching": `flow_matching_loss` of all latent frames but the first, which is given. Source:
      Diff4Splat, Eq. 2, with $w(t) = 1$ and logit-normal $t$.
    - "depth", "depth_slope": `log_depth_error` and `log_depth_slope_error` of the Gaussian map; "color", the
      mean absolute error of its colours on all frames but the first.
    - "motion", "rotation": `balanced_error` of the deformation map at drawn times; "motion_beside":
      `error_beside_movers`. Tracks do not tell rotations: clips that have tracks alone give 0.
    - "photometric", "perceptual": the two terms of Diff4Splat, Eq. 3, of the field rendered at drawn times
      along the clip's own path; "pearson": Eq. 4; "total_variation": Sec. 3.4.
    - "point_motion": Diff4Splat, Eq. 5, every pixel with a known motion a tracked point. Differs: predicted
      displacements, too, are brought to scene units by the true depth, so that they do not train depth.

    A module, so that what wraps modules (several processes, sharding, mixed precision) sees one forward pass
    from clips to the loss. Losses are means over clips of values per clip: a batch cut into parts, over
    processes or one after another, gives the same. Rendered losses are means over the first `stage.rendered`
    clips of each part.

    Args:
        parts: Modules by name, of `diff4splat.training.PARTS`; those that the stage uses.
        stage: What is trained and how.
        encode: Video in [0, 1] to normalised latents, for clips that come without; that of the "vae" of the
            parts when omitted.
        perceptual: Perceptual distance as in `PhotometricLoss`, for the loss of that name; `LpipsDistance()`
            when omitted.

    Raises:
        ValueError: If a part that the stage uses is missing, or it freezes what is not there.
    """

    vae: Any
    dit: Any
    ldrm: Any

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        stage: Stage,
        *,
        encode: Callable[[Tensor], Tensor] | None = None,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.stage = stage
        used = {*stage.train, *(["dit"] if stage.denoises else []), *(["ldrm"] if stage.reconstructs else [])}
        for name in sorted(used - set(parts)):
            raise ValueError(f"parts must hold {name!r}, got {', '.join(sorted(parts)) or 'none'}.")
        self.vae, self.dit, self.ldrm = (parts.get(name) for name in ("vae", "dit", "ldrm"))
        still = () if stage.moves or stage.rendered else ("ldrm.deformation_head",)  # no loss looks at it
        for name, parameter in self.named_parameters():
            frozen = any(_begins(name, start) for start in (*stage.freeze, *still))
            parameter.requires_grad_(name.split(".")[0] in stage.train and not frozen)
        for start in stage.freeze:
            if not any(_begins(name, start) for name, _ in self.named_parameters()):
                raise ValueError(f"freeze must name parameters, got {start!r}, which begins none of them.")
        if isinstance(self.ldrm, LDRM):
            self.ldrm.gradient_checkpointing = stage.checkpoint_gradients
        if "perceptual" in stage.losses and perceptual is None:
            perceptual = LpipsDistance()
        # in a tuple, so that modules which are not trained are no part of this one
        self._given: tuple[Any, Any] = (encode or getattr(self.vae, "encode", None), perceptual)

    def train(self, mode: bool = True) -> "Objective":
        """Training mode for the parts that are trained, evaluation mode for the others.

        Args:
            mode: Whether to train.

        Returns:
            The module itself.
        """
        super().train(mode)
        for name in ("vae", "dit", "ldrm"):
            part = getattr(self, name)
            if part is not None and name not in self.stage.train:
                part.eval()
        return self

    def forward(self, clips: dict[str, Tensor], captions: list[str], draws: Draws) -> StepValues:
        """Losses of some clips.

        Args:
            clips: Batch with the keys of `diff4splat.data.clips` that the stage needs.
            captions: One text per clip.
            draws: Random numbers of these rows.

        Returns:
            The loss and what it is made of.

        Raises:
            ValueError: If clips come without latents and there is nothing to encode them with.
        """
        ratios: dict[str, Tensor] = {}
        certainty: Tensor | float = 1.0
        if "vae" in self.stage.train:
            terms = self._autoencoder(clips, draws)
        else:
            terms, ratios, certainty = self._latent_parts(clips, captions, draws)
        shares = {
            name: certainty * terms[name] if name in LOSSES["ldrm"] else terms[name]
            for name in self.stage.losses
        }
        loss = weighted_sum(shares, self.stage.losses)
        means = {name: value.detach().mean() for name, value in terms.items()}
        return StepValues(loss.mean(), means, ratios)

    def encode(self, clips: dict[str, Tensor]) -> Float[Tensor, "batch latent_frame channel height width"]:
        """Latents of clips: those that come with them, or encoded here.

        Args:
            clips: Batch with `latents` or `video`.

        Returns:
            Normalised latents, without gradients.

        Raises:
            ValueError: If clips come without latents and there is nothing to encode them with.
        """
        if "latents" in clips:
            return clips["latents"].float()
        if self._given[0] is None:
            raise ValueError("clips must hold latents when there is neither encode nor a vae, got none.")
        with torch.no_grad():
            return self._given[0](clips["video"].float() / 255).float()

    def denoise(
        self,
        clips: dict[str, Tensor],
        latents: Float[Tensor, "batch latent_frame channel height width"],
        prompts: list[str],
        time: Float[Tensor, " batch"],
        draws: Draws,
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch latent_frame channel height width"]]:
        """Disturb latents, all but the first one, which is given, and let the diffusion transformer look.

        Args:
            clips: Batch, whose cameras are read.
            latents: Normalised latents.
            prompts: One text per clip.
            time: Noise levels in [0, 1].
            draws: The noise.

        Returns:
            Error of the velocity per clip (Diff4Splat, Eq. 2), and the clean latents that it points to.
        """
        noise = draws.normal(*latents.shape[1:])
        noisy = noise_interpolate(latents, noise, time)
        noisy = torch.cat((latents[:, :1], noisy[:, 1:]), dim=1)
        with torch.autocast(latents.device.type, enabled=False):  # eight bits are too few for geometry
            cameras = batch_cameras(clips).relative_to(None)
            rays = latent_rays(cameras, height=latents.shape[-2], width=latents.shape[-1], temporal_stride=4)
        with torch.set_grad_enabled("dit" in self.stage.train and torch.is_grad_enabled()):
            velocity = self.dit(noisy, time, rays, prompts).float()
        error = flow_matching_loss(velocity[:, 1:], latents[:, 1:], noise[:, 1:])
        clean = noisy[:, 1:] - time[:, None, None, None, None] * velocity[:, 1:]
        return error, torch.cat((latents[:, :1], clean), dim=1)

    def reconstruct(
        self, clips: dict[str, Tensor], latents: Tensor, times: Float[Tensor, " time"]
    ) -> Rendering:
        """Images of the field of some clips at some times, along their own paths.

        Args:
            clips: Batch.
            latents: Normalised latents.
            times: In [0, 1], on pixel frames.

        Returns:
            Images (batch, time, ...).
        """
        cameras = batch_cameras(clips)
        frames = (times * (cameras.num_frames - 1)).round().long()
        field = self.ldrm(latents, cameras, image=clips["video"][:, 0].float() / 255, times=times)
        return field.render(cameras.select(frames), times)

    def _autoencoder(self, clips: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        video, crop = clips["video"], self.stage.crop
        if crop is not None:
            top, left = (
                int(torch.randint(0, side - crop + 1, (1,), generator=draws.batch))
                for side in video.shape[-2:]
            )
            video = video[..., top : top + crop, left : left + crop]
        video = video.float() / 255
        mean, log_variance = self.vae.posterior(video)
        sample = mean
        if "kl" in self.stage.losses:  # else the mean, which is what `encode` gives
            sample = mean + (0.5 * log_variance).exp() * draws.normal(*mean.shape[1:])
        offset, scale = (v[:, None, None] for v in (self.vae.latent_mean, self.vae.latent_std))
        error = self.vae.decode((sample - offset) / scale) - video
        edges = torch.stack([_per_clip(error.diff(dim=axis).abs()) for axis in (1, -2, -1)]).sum(0)
        divergence = 0.5 * (mean.float().square() + log_variance.exp() - 1 - log_variance)
        return {
            "pixel": _per_clip((error.square() + 1e-4).sqrt()),
            "edges": edges,
            "kl": _per_clip(divergence),
            "psnr": -10 * _per_clip(error.detach().square()).log10(),
        }

    def _latent_parts(
        self, clips: dict[str, Tensor], captions: list[str], draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor | float]:
        """Terms, ratios, and how much those of the reconstruction model count."""
        latents, stage = self.encode(clips), self.stage
        terms: dict[str, Tensor] = {}
        certainty: Tensor | float = 1.0
        if stage.denoises:
            time = torch.sigmoid(draws.normal() + 0.3)  # more of them near the noise
            kept = (draws.uniform() >= _DROPPED_PROMPTS).tolist()  # dropping trains the unconditional pass
            prompts = [caption if keep else "" for caption, keep in zip(captions, kept, strict=True)]
            error, denoised = self.denoise(clips, latents, prompts, time, draws)
            if "flow_matching" in stage.losses:
                terms["flow_matching"] = error
            if stage.latents == "denoised":
                latents, certainty = denoised, 1 - time
        if not stage.reconstructs:
            return terms, {}, certainty
        if stage.latents == "encoded" and stage.latent_noise:
            strength = stage.latent_noise * draws.uniform(1, 1, 1, 1)
            latents = latents + strength * draws.normal(*latents.shape[1:])
        found, ratios = self._reconstruct(clips, latents, draws)
        return {**terms, **found}, ratios, certainty

    def _reconstruct(
        self, clips: dict[str, Tensor], latents: Tensor, draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms of the reconstruction model, and ratios.

        Where a Gaussian stands for several pixels, the truth is read at one of them, the same offset for the
        whole batch, drawn anew each step.
        """
        stage, ldrm = self.stage, self.ldrm
        batch, frames = clips["video"].shape[:2]
        video = clips["video"].float() / 255
        features = ldrm.encode(latents, batch_cameras(clips), image=video[:, 0])
        with_key = "pearson" in stage.losses
        picks = _target_frames(frames, stage.target_times, draws.batch, with_key=with_key).to(latents.device)
        times = picks / (frames - 1)
        offsets = torch.randint(0, ldrm.pixel_stride, (2,), generator=draws.batch).tolist()
        truth = on_coarser_grid(clips, stride=ldrm.pixel_stride, top=offsets[0], left=offsets[1])
        deformation: Any = None
        if stage.moves or stage.rendered:
            deformation = ldrm.deform(features, times.expand(batch, -1))
        step = 1 if ldrm.every_frame else KEY_STRIDE
        known = slice(None, None, KEY_STRIDE // step)  # of the frames with Gaussians, those with a truth
        with torch.autocast(latents.device.type, enabled=False):
            maps = features.gaussian_map[:, known]
            terms = depth_terms(maps, truth)
            ratios: dict[str, Tensor] = {}
            later = F.avg_pool2d(video[:, step::step].flatten(0, 1), ldrm.pixel_stride)
            colors = features.gaussian_map[:, 1:, 1:4].float() + 0.5
            terms["color"] = _per_clip((colors - later.unflatten(0, colors.shape[:2])).abs())
            if stage.moves:
                cameras = features.cameras.select(known)
                found, ratios = motion_terms(maps, deformation[:, :, known], truth, picks, cameras)
                terms |= found
        if stage.rendered:
            terms |= self._rendered(features, deformation, clips, video, picks, times)
        asked = (*stage.losses, "correlation")
        terms = {name: terms[name] for name in asked if name in terms}
        return terms, {name: value for name, value in ratios.items() if name in asked}

    def _rendered(
        self,
        features: Any,
        deformation: Tensor,
        clips: dict[str, Tensor],
        video: Tensor,
        picks: Tensor,
        times: Tensor,
    ) -> dict[str, Tensor]:
        """Terms of rendered images of the first so many clips; their mean is that of these clips.

        The others have zeros, so that there is a value per clip to be weighted by the clip's noise level.
        """
        few = slice(self.stage.rendered)
        part = features.select(few)
        if self.stage.shapes == "kept":
            maps = part.gaussian_map
            part = replace(part, gaussian_map=torch.cat((maps[:, :, :4], maps[:, :, 4:].detach()), dim=2))
        field = self.ldrm.decode(part, times, image=video[few, 0], deformation=deformation[few])
        with torch.autocast(video.device.type, enabled=False):
            images = field.render(batch_cameras(clips).batch(few).select(picks), times)
            target = video[few][:, picks]
            terms = {"photometric": photometric_mse(images.color, target)}
            if "perceptual" in self.stage.losses:
                distance = self._given[1]
                if isinstance(distance, nn.Module):
                    distance.to(video.device)  # it is no part of this module, and does not move with it
                flat = (values.flatten(0, 1) for values in (images.color, target))
                terms["perceptual"] = distance(*flat).unflatten(0, target.shape[:2])
            if "pearson" in self.stage.losses:
                keys = [place for place, frame in enumerate(picks.tolist()) if frame % KEY_STRIDE == 0]
                true_depth = clips["depth"][few].float()[:, picks[keys] // KEY_STRIDE]
                known = is_known(true_depth)
                terms["pearson"] = pearson_depth_loss(images.depth[:, keys, 0], true_depth, mask=known)
            terms["total_variation"] = total_variation_loss(images.depth[:, :, 0])
        share, others = len(video) / len(target), len(video) - len(target)
        return {
            name: F.pad(share * _per_clip(value.float()), (0, others))
            for name, value in terms.items()
            if name in RENDERED
        }


def _target_frames(frames: int, number: int, generator: torch.Generator, *, with_key: bool) -> Tensor:
    """Different frames in order, on request a key frame among them, so that depth can be compared."""
    picks = torch.randperm(frames, generator=generator)
    if with_key:
        key = picks[picks % KEY_STRIDE == 0][:1]
        picks = torch.cat((key, picks[picks != key]))
    return picks[:number].sort().values


def _begins(name: str, start: str) -> bool:
    """Whether a parameter is, or lies in, what another name stands for."""
    return name == start or name.startswith(f"{start}.")


def _per_clip(values: Tensor) -> Tensor:
    """Mean over everything but the clips."""
    return values.flatten(1).mean(1)
