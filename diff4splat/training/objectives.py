"""What each part of the compact model is trained to do: one function of a batch per part, and the losses inside it."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.backbones.compact import CausalVideoVAE, CompactDiT
from diff4splat.cameras import Cameras
from diff4splat.cameras.latent_rays import latent_rays
from diff4splat.diffusion import flow_matching_loss, noise_interpolate
from diff4splat.models import LDRM, map_depth

__all__ = [
    "autoencoder_losses",
    "balanced_motion_loss",
    "batch_cameras",
    "diffusion_losses",
    "motion_targets",
    "reconstruction_losses",
]


def batch_cameras(clips: dict[str, Tensor]) -> Cameras:
    """Cameras of a batch of clips."""
    height, width = clips["video"].shape[-2:]
    return Cameras(clips["camera_to_world"], clips["intrinsics"], height, width)


def autoencoder_losses(
    vae: CausalVideoVAE, clips: dict[str, Tensor], generator: torch.Generator, *, crop: int = 64
) -> dict[str, Tensor]:
    """Reconstruction of random crops (values and differences between neighbours) and the Kullback-Leibler term."""
    video = clips["video"]
    top, left = (
        int(torch.randint(0, side - crop + 1, (1,), generator=generator)) for side in video.shape[-2:]
    )
    video = video[..., top : top + crop, left : left + crop].float() / 255
    mean, log_variance = vae.posterior(video)
    noise = torch.randn(mean.shape, generator=generator)
    sample = mean + (0.5 * log_variance).exp() * noise
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
    """Flow matching on all latent frames but the first, which is given (paper, Eq. 2); one prompt in ten is dropped."""
    latents = clips["latents"].float()
    batch = latents.shape[0]
    noise = torch.randn(latents.shape, generator=generator)
    time = torch.sigmoid(torch.randn(batch, generator=generator) + 0.3)
    noisy = noise_interpolate(latents, noise, time)
    noisy = torch.cat((latents[:, :1], noisy[:, 1:]), dim=1)
    kept = (torch.rand(batch, generator=generator) >= 0.1).tolist()
    prompts = [prompt if keep else "" for prompt, keep in zip(prompts, kept, strict=True)]
    rays = latent_rays(
        batch_cameras(clips), height=latents.shape[-2], width=latents.shape[-1], temporal_stride=4
    )
    velocity = dit(noisy, time, rays, prompts)
    loss = flow_matching_loss(velocity[:, 1:], latents[:, 1:], noise[:, 1:]).mean()
    return {"loss": loss}


def motion_targets(
    clips: dict[str, Tensor], picks: Int[Tensor, "batch time"], *, frame_stride: int = 4
) -> tuple[
    Float[Tensor, "batch time map_frame xyz=3 height width"], Bool[Tensor, "batch map_frame height width"]
]:
    """True displacement of every pixel of the frames with Gaussians, in camera axes and units of depth.

    Args:
        clips: Batch with `depth`, `object_index`, `object_motion` and cameras.
        picks: Target frames.
        frame_stride: Pixel frames between frames with Gaussians.

    Returns:
        Displacement from each pixel's own time to the target frames, and whether a pixel lies on an object that moves.
    """
    depth = clips["depth"].float()
    batch, frames, height, width = depth.shape
    intrinsics = clips["intrinsics"][:, ::frame_stride].float()
    pose = clips["camera_to_world"][:, ::frame_stride].float()
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    rays_x = (x - intrinsics[..., 0, 2, None]) / intrinsics[..., 0, 0, None]
    rays_y = (y - intrinsics[..., 1, 2, None]) / intrinsics[..., 1, 1, None]
    rays = torch.stack(
        (
            repeat(rays_x, "b f w -> b f h w", h=height),
            repeat(rays_y, "b f h -> b f h w", w=width),
            torch.ones_like(depth),
        ),
        dim=2,
    )
    rotation = pose[..., :3, :3]
    world = torch.einsum("bfij,bfjhw->bfihw", rotation, rays * depth[:, :, None])
    world = world + pose[..., :3, 3, None, None]
    motion = clips["object_motion"].float()
    seen_at = motion[:, :, ::frame_stride]
    # From an object's place at the pixel's own time, back to time 0, on to the target time.
    axes0, shift0 = seen_at[..., :3], seen_at[..., 3]
    targets = torch.stack([motion[i, :, picks[i]] for i in range(batch)])
    axes1, shift1 = targets[..., :3], targets[..., 3]
    turn = torch.einsum("botij,bofkj->btofik", axes1, axes0)
    shift = rearrange(shift1, "b o t i -> b t o 1 i") - torch.einsum("btofij,bofj->btofi", turn, shift0)
    index = clips["object_index"].long()
    eye = torch.eye(3)
    displacement = torch.zeros(batch, picks.shape[1], frames, 3, height, width)
    moving = torch.zeros(batch, frames, height, width, dtype=torch.bool)
    for item in range(1, motion.shape[1]):
        mask = index == item
        if not mask.any():
            continue
        moved = torch.einsum("btfij,bfjhw->btfihw", turn[:, :, item] - eye, world)
        moved = moved + shift[:, :, item, :, :, None, None]
        displacement = torch.where(mask[:, None, :, None], moved, displacement)
        travels = (motion[:, item, :, :, 3].diff(dim=1).norm(dim=-1).sum(-1) > 0.02) | (
            (motion[:, item, -1, :, :3] - motion[:, item, 0, :, :3]).norm(dim=(-2, -1)) > 0.02
        )
        moving |= mask & travels[:, None, None, None]
    local = torch.einsum("bfji,btfjhw->btfihw", rotation, displacement)
    return local / depth[:, None, :, None].clamp_min(1e-3), moving


def balanced_motion_loss(
    predicted: Float[Tensor, "batch time map_frame xyz=3 height width"],
    target: Float[Tensor, "batch time map_frame xyz=3 height width"],
    moving: Bool[Tensor, "batch map_frame height width"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean end-point error where things move plus that where they rest, so that the rest does not drown the movers.

    Returns:
        The loss, and the error on moving pixels over the error of no motion (below 1 is better than none).
    """
    error = ((predicted - target).square().sum(3) + 1e-6).sqrt()
    still = target.detach().square().sum(3).sqrt()
    mask = moving[:, None].expand_as(error).float()
    on_movers = (error * mask).sum() / mask.sum().clamp_min(1)
    at_rest = (error * (1 - mask)).sum() / (1 - mask).sum().clamp_min(1)
    ratio = (error.detach() * mask).sum() / (still * mask).sum().clamp_min(1e-6)
    return on_movers + at_rest, ratio


def reconstruction_losses(
    ldrm: LDRM,
    clips: dict[str, Tensor],
    generator: torch.Generator,
    *,
    num_times: int = 2,
    noise: float = 0.2,
) -> dict[str, Tensor]:
    """Direct supervision of the maps: log-depth and its gradients, motion of every pixel, colours of later frames."""
    latents = clips["latents"].float()
    batch, frames = latents.shape[0], clips["video"].shape[1]
    strength = noise * torch.rand(batch, 1, 1, 1, 1, generator=generator)
    latents = latents + strength * torch.randn(latents.shape, generator=generator)
    cameras = batch_cameras(clips)
    image = clips["video"][:, 0].float() / 255
    features = ldrm.encode(latents, cameras, image=image)
    picks = torch.randint(0, frames, (batch, num_times), generator=generator)
    deformation = ldrm.deform(features, picks / (frames - 1))
    depth = map_depth(features.gaussian_map).clamp_min(1e-3).log()
    true_depth = clips["depth"].float().clamp_min(1e-2).log()
    error = depth - true_depth
    depth_loss = error.abs().mean()
    slopes = sum(
        error[..., ::step, ::step].diff(dim=axis).abs().mean() for step in (1, 4) for axis in (-1, -2)
    )
    target, moving = motion_targets(clips, picks)
    motion_loss, motion_ratio = balanced_motion_loss(deformation[:, :, :, :3], target, moving)
    later = clips["video"][:, 4::4].float() / 255
    colors = features.gaussian_map[:, 1:, 1:4] + 0.5
    color_loss = (colors - later).abs().mean()
    centred = depth.detach() - depth.detach().mean((-1, -2), keepdim=True)
    true_centred = true_depth - true_depth.mean((-1, -2), keepdim=True)
    pearson = F.cosine_similarity(centred.flatten(-2), true_centred.flatten(-2), dim=-1).mean()
    loss = depth_loss + 0.5 * slopes + 4.0 * motion_loss + 0.5 * color_loss
    return {
        "loss": loss,
        "depth": depth_loss.detach(),
        "pearson": pearson,
        "motion": motion_ratio,
        "color": color_loss.detach(),
    }
