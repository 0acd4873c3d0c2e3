"""What each part of the compact model is trained to do: one function of a batch per part, and its losses."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.backbones.compact import CausalVideoVAE, CompactDiT
from diff4splat.cameras import Cameras, latent_rays
from diff4splat.diffusion import flow_matching_loss, noise_interpolate
from diff4splat.geometry import matrix_to_quaternion, unproject
from diff4splat.losses import pearson_depth_loss, photometric_mse
from diff4splat.models import LDRM, map_depth, map_rotation

__all__ = [
    "autoencoder_losses",
    "balanced_motion_loss",
    "batch_cameras",
    "diffusion_losses",
    "motion_targets",
    "on_coarser_grid",
    "reconstruction_losses",
]


def batch_cameras(clips: dict[str, Tensor]) -> Cameras:
    """Cameras of a batch of clips.

    Args:
        clips: Batch with `video`, `camera_to_world` and `intrinsics`.

    Returns:
        One camera per pixel frame, in the clips' own world.
    """
    height, width = clips["video"].shape[-2:]
    return Cameras(clips["camera_to_world"], clips["intrinsics"], height, width)


def autoencoder_losses(
    vae: CausalVideoVAE, clips: dict[str, Tensor], generator: torch.Generator, *, crop: int = 64
) -> dict[str, Tensor]:
    r"""Reconstruction of random crops and the Kullback-Leibler term.

    $$\mathcal{L} = \overline{\sqrt{e^2 + \epsilon}} + 0.3\, \overline{|\nabla e|} + 10^{-4}\, \mathrm{KL}$$

    with $e$ the error of the decoded clip, $\epsilon = 10^{-4}$, and $\nabla$ the differences between
    neighbours in time and space: the means of the three axes, added up.

    Args:
        vae: Autoencoder; receives gradients.
        clips: Batch with `video`, bytes.
        generator: Source of the crops and of the posterior's noise.
        crop: Side of the crops, pixels; a multiple of 8.

    Returns:
        "loss" and, detached, "psnr" in dB and "kl" in nats per latent value; means over the batch.
    """
    video = clips["video"]
    top, left = (
        int(torch.randint(0, side - crop + 1, (1,), generator=generator)) for side in video.shape[-2:]
    )
    video = video[..., top : top + crop, left : left + crop].float() / 255
    mean, log_variance = vae.posterior(video)
    sample = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    decoded = vae.decode(sample)
    error = decoded - video
    pixel = (error.square() + 1e-4).sqrt().mean()
    edges = sum(error.diff(dim=axis).abs().mean() for axis in (1, -2, -1))
    divergence = 0.5 * (mean.float().square() + log_variance.exp() - 1 - log_variance).mean()
    loss = pixel + 0.3 * edges + 1e-4 * divergence
    psnr = -10 * error.detach().square().mean().log10()
    return {"loss": loss, "psnr": psnr, "kl": divergence.detach()}


def diffusion_losses(
    dit: CompactDiT, clips: dict[str, Tensor], prompts: list[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """Flow matching on all latent frames but the first, which is given.

    Times are drawn from a logit-normal distribution, more of them near the noise; one prompt in ten is
    dropped, which trains the unconditional pass. Source: Diff4Splat, Eq. 2.

    Args:
        dit: Velocity field; receives gradients.
        clips: Batch with `latents`, `video` and cameras.
        prompts: One text per clip.
        generator: Source of noise, times and drops.

    Returns:
        "loss", the mean over batch and latents.
    """
    latents = clips["latents"].float()
    batch = latents.shape[0]
    noise = torch.randn(latents.shape, generator=generator)
    time = torch.sigmoid(torch.randn(batch, generator=generator) + 0.3)
    noisy = noise_interpolate(latents, noise, time)
    noisy = torch.cat((latents[:, :1], noisy[:, 1:]), dim=1)
    kept = (torch.rand(batch, generator=generator) >= 0.1).tolist()
    prompts = [prompt if keep else "" for prompt, keep in zip(prompts, kept, strict=True)]
    with torch.autocast(latents.device.type, enabled=False):
        cameras = batch_cameras(clips).relative_to(None)
        rays = latent_rays(cameras, height=latents.shape[-2], width=latents.shape[-1], temporal_stride=4)
    velocity = dit(noisy, time, rays, prompts)
    loss = flow_matching_loss(velocity[:, 1:], latents[:, 1:], noise[:, 1:]).mean()
    return {"loss": loss}


def motion_targets(
    clips: dict[str, Tensor], picks: Int[Tensor, "batch time"], *, frame_stride: int = 4
) -> tuple[
    Float[Tensor, "batch time map_frame xyz=3 height width"],
    Float[Tensor, "batch time map_frame xyz=3 height width"],
    Bool[Tensor, "batch map_frame height width"],
]:
    r"""True rigid motion of every pixel of the frames with Gaussians, in camera axes.

    A pixel of frame k is seen at the point $X$ on an object that turns by $R$ and shifts by $s$ from its own
    time to the target time: it is displaced by $R X + s - X$.

    Args:
        clips: Batch with `depth`, `object_index`, `object_motion` and cameras; the intrinsics are those of
            the depth's grid.
        picks: Target frames.
        frame_stride: Pixel frames between frames with Gaussians.

    Returns:
        Displacement from each pixel's own time to the target frames, in units of depth; rotation over the
        same time, as the vector part $\sin(\theta / 2)\, n$ of a unit quaternion with a scalar part of at
        least 0; and whether a pixel lies on an object that moves at any time of the clip.
    """
    depth = clips["depth"].float()
    batch, frames = depth.shape[:2]
    pose = clips["camera_to_world"][:, ::frame_stride].float()
    to_camera = pose[..., :3, :3].mT
    points = unproject(depth, pose, clips["intrinsics"][:, ::frame_stride].float())
    motion = clips["object_motion"].float()
    # From an object's place at the pixel's own time, back to time 0, on to the target time.
    axes0, shift0 = motion[:, :, ::frame_stride, :, :3], motion[:, :, ::frame_stride, :, 3]
    targets = motion[torch.arange(batch)[:, None], :, picks]
    axes1, shift1 = targets[..., :3], targets[..., 3]
    turn = torch.einsum("btoij,bofkj->botfik", axes1, axes0)
    shift = rearrange(shift1, "b t o i -> b o t 1 i") - torch.einsum("botfij,bofj->botfi", turn, shift0)
    local_turn = matrix_to_quaternion(to_camera[:, None, None] @ turn @ to_camera.mT[:, None, None])
    local_turn = local_turn[..., 1:] * torch.where(local_turn[..., :1] < 0, -1.0, 1.0)
    # The same for each pixel: that of its object.
    index = clips["object_index"].long()
    clip, frame = torch.arange(batch)[:, None, None, None], torch.arange(frames)[:, None, None]
    turn, shift, local_turn = (value[clip, index, :, frame] for value in (turn, shift, local_turn))
    change = turn - torch.eye(3, device=turn.device)
    displacement = torch.einsum("bfhwtij,bfhwj->bfhwti", change, points) + shift
    local = torch.einsum("bfij,bfhwtj->btfihw", to_camera, displacement)
    travels = (motion[..., 3].diff(dim=2).norm(dim=-1).sum(-1) > 0.02) | (
        (motion[:, :, -1, :, :3] - motion[:, :, 0, :, :3]).norm(dim=(-2, -1)) > 0.02
    )
    local = local / depth[:, None, :, None].clamp_min(1e-3)
    return local, rearrange(local_turn, "b f h w t i -> b t f i h w"), travels[clip, index]


def balanced_motion_loss(
    predicted: Float[Tensor, "batch time map_frame xyz=3 height width"],
    target: Float[Tensor, "batch time map_frame xyz=3 height width"],
    moving: Bool[Tensor, "batch map_frame height width"],
    *,
    rest_weight: float = 0.3,
    softness: float = 0.03,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    r"""Mean end-point error where things move plus, weighted less, that where they rest.

    $$\mathcal{L} = \frac{1}{|M|} \sum_{i \in M} \rho(\hat x_i - x_i)
      + \lambda \frac{1}{|R|} \sum_{i \in R} \rho(\hat x_i - x_i), \qquad
      \rho(e) = \sqrt{\lVert e \rVert^2 + \delta^2} - \delta$$

    with $M$ the pixels where `moving` holds and $R$ the others; an empty set contributes nothing. Most pixels
    rest: counted alike, or with a kink at zero, they would hold a fresh model at "no motion" before it can
    tell movers apart.

    Args:
        predicted: Displacement $\hat x$, units of depth; receives gradients.
        target: True displacement $x$, units of depth.
        moving: Pixels on objects that move.
        rest_weight: $\lambda$.
        softness: $\delta$, units of depth; errors below it count quadratically.

    Returns:
        The loss, and the error on moving pixels over the error of no motion (below 1 is better than none).
    """
    square = (predicted - target).square().sum(3)
    error = (square + softness**2).sqrt() - softness
    still = target.detach().square().sum(3).sqrt()
    mask = moving[:, None].expand_as(error).float()
    on_movers = (error * mask).sum() / mask.sum().clamp_min(1)
    at_rest = (error * (1 - mask)).sum() / (1 - mask).sum().clamp_min(1)
    ratio = (square.detach().sqrt() * mask).sum() / (still * mask).sum().clamp_min(1e-6)
    return on_movers + rest_weight * at_rest, ratio


def on_coarser_grid(
    clips: dict[str, Tensor], *, stride: int, top: int = 0, left: int = 0
) -> dict[str, Tensor]:
    """Ground truth of every so many pixels, with the intrinsics of that grid; no averages over edges.

    Args:
        clips: Batch with `depth`, `object_index` and `intrinsics`.
        stride: Pixels between those kept, each way.
        top: First row kept, below `stride`.
        left: First column kept, below `stride`.

    Returns:
        Copy of the batch with these three replaced.
    """
    intrinsics = clips["intrinsics"].float().clone()
    # Kept pixel i has its centre at stride * i + left + 0.5 in the image and at i + 0.5 on the coarser grid.
    intrinsics[..., 0, 2] += 0.5 * stride - left - 0.5
    intrinsics[..., 1, 2] += 0.5 * stride - top - 0.5
    intrinsics[..., :2, :] /= stride
    kept = {name: clips[name][..., top::stride, left::stride] for name in ("depth", "object_index")}
    return {**clips, **kept, "intrinsics": intrinsics}


def reconstruction_losses(
    ldrm: LDRM,
    clips: dict[str, Tensor],
    generator: torch.Generator,
    *,
    num_times: int = 2,
    num_rendered: int = 0,
    noise: float = 0.2,
) -> dict[str, Tensor]:
    r"""Supervision of the maps and, if asked for, of what they look like when rendered.

    $$\mathcal{L} = \overline{|\log d - \log d^*|} + 0.5\, \overline{|\nabla (\log d - \log d^*)|}
      + 8\, \mathcal{L}_{motion} + 2\, \mathcal{L}_{rotation} + 0.5\, \overline{|c - c^*|}
      + 5\, \mathcal{L}_{photo}$$

    with depth $d$, slopes $\nabla$ along rows and columns over one and four places (four means, added up),
    `balanced_motion_loss` of displacement and of rotation, colours $c$ of later frames, and
    $\mathcal{L}_{photo}$ the squared error of Diff4Splat, Eq. 3, of the field rendered at the target times.
    It trains depth, colour and deformation, not size, orientation and opacity: fitted to images of the clip's
    size, these made photographs at four times that size blurred and see-through.

    The latents are disturbed with noise, so that the model bears with generated ones. Where a Gaussian stands
    for several pixels, the truth is read at one of them, the same offset for the whole batch, drawn anew each
    time.

    Args:
        ldrm: Reconstruction model; receives gradients. Its frames are every fourth one (`every_frame=False`).
        clips: Batch with everything that `make_clips` writes, and `latents`.
        generator: Source of noise, target frames and offsets.
        num_times: Target frames, the same for the batch.
        num_rendered: Clips of the batch that are rendered, the first so many; none leaves out the last term.
        noise: Largest standard deviation of the noise on the latents.

    Returns:
        "loss" and, detached, the errors of "depth" (log) and "color", the "pearson" correlation of log-depth,
        "motion" and "rotation", the error on moving pixels over that of no motion, and, if there are any,
        "psnr" of the rendered frames in dB; means over the batch.
    """
    latents = clips["latents"].float()
    batch, frames = latents.shape[0], clips["video"].shape[1]
    strength = noise * torch.rand(batch, 1, 1, 1, 1, generator=generator)
    latents = latents + strength * torch.randn(latents.shape, generator=generator)
    video = clips["video"].float() / 255
    features = ldrm.encode(latents, batch_cameras(clips), image=video[:, 0])
    picks = torch.randperm(frames, generator=generator)[:num_times].sort().values
    times = picks / (frames - 1)
    deformation = ldrm.deform(features, times.expand(batch, -1))
    top, left = torch.randint(0, ldrm.pixel_stride, (2,), generator=generator).tolist()
    truth = on_coarser_grid(clips, stride=ldrm.pixel_stride, top=top, left=left)

    depth = map_depth(features.gaussian_map).log()
    true_depth = truth["depth"].float().clamp_min(1e-2).log()
    error = depth - true_depth
    depth_loss = error.abs().mean()
    slopes = sum(
        error[..., ::step, ::step].diff(dim=axis).abs().mean() for step in (1, 4) for axis in (-1, -2)
    )
    later = F.avg_pool2d(video[:, 4::4].flatten(0, 1), ldrm.pixel_stride)
    colors = features.gaussian_map[:, 1:, 1:4] + 0.5
    color_loss = (colors.flatten(0, 1) - later).abs().mean()
    with torch.autocast(latents.device.type, enabled=False):  # eight bits are too few for geometry
        target, turn, moving = motion_targets(truth, picks.expand(batch, -1))
        motion_loss, motion_ratio = balanced_motion_loss(deformation[:, :, :, :3], target, moving)
        predicted_turn = map_rotation(features.gaussian_map.detach(), deformation)
        rotation_loss, rotation_ratio = balanced_motion_loss(predicted_turn, turn, moving)
    loss = depth_loss + 0.5 * slopes + 8 * motion_loss + 2 * rotation_loss + 0.5 * color_loss
    values = {
        "depth": depth_loss.detach(),
        "pearson": (1 - pearson_depth_loss(depth.detach(), true_depth)).mean(),
        "motion": motion_ratio,
        "rotation": rotation_ratio,
        "color": color_loss.detach(),
    }
    if num_rendered:
        few = slice(num_rendered)
        part = features.select(few)
        # Sizes, orientations and opacities that suit the clip's pixels would not suit those of a photograph.
        kept = torch.cat((part.gaussian_map[:, :, :4], part.gaussian_map[:, :, 4:].detach()), dim=2)
        part = replace(part, gaussian_map=kept)
        field = ldrm.decode(part, times, image=video[few, 0], deformation=deformation[few])
        with torch.autocast(latents.device.type, enabled=False):
            path = batch_cameras(clips).batch(few).select(picks)
            squared = photometric_mse(field.render(path, times).color, video[few, picks]).mean()
        loss = loss + 5 * squared
        values["psnr"] = -10 * squared.detach().log10()
    return {"loss": loss, **values}
