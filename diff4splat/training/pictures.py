"""What a stage can do, next to the truth, as a picture."""

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.assets import depth_to_color
from diff4splat.training.draws import Draws
from diff4splat.training.objective import Objective
from diff4splat.training.targets import is_known

__all__ = ["stage_picture"]

_ROWS = 4
_MIDDLE_NOISE = 0.5


@torch.no_grad()
def stage_picture(objective: Objective, clips: dict[str, Tensor]) -> UInt8[Tensor, "height width rgb=3"]:
    """Truth and result side by side, one clip per row.

    Stages of the reconstruction model show the first frame, the last one, what is rendered there, its depth
    at the first frame and the true one. Those of the autoencoder and the diffusion transformer show the last
    frame and what is decoded there: from its latents, or from what is made of them at half noise.

    Args:
        objective: The stage and its parts.
        clips: Batch, of which the first clips are shown.

    Returns:
        Picture in sRGB, bytes.
    """
    few = {name: value[:_ROWS] for name, value in clips.items()}
    video = few["video"].float() / 255
    if objective.stage.reconstructs:
        times = torch.tensor([0.0, 1.0], device=video.device)
        images = objective.reconstruct(few, objective.encode(few), times)
        columns = [video[:, 0], video[:, -1], images.color[:, 1], *_depths(few, images.depth[:, 0])]
    else:
        columns = [video[:, -1], _decoded(objective, few)[:, -1].clamp(0, 1)]
    sheet = rearrange(torch.stack(columns), "n b c h w -> (b h) (n w) c")
    return (sheet.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _depths(clips: dict[str, Tensor], depth: Tensor) -> list[Tensor]:
    """Coloured depth on the scale of the true one, and that, where it is known."""
    if "depth" not in clips:
        return [depth_to_color(depth[:, 0])]
    truth = clips["depth"][:, 0].float()
    valid = truth[is_known(truth)]
    if not valid.numel():
        return [depth_to_color(depth[:, 0]), depth_to_color(truth)]
    near, far = float(valid.quantile(0.01)), float(valid.quantile(0.99)) + 1e-3
    return [depth_to_color(shown, near=near, far=far) for shown in (depth[:, 0], truth)]


def _decoded(objective: Objective, clips: dict[str, Tensor]) -> Tensor:
    latents = objective.encode(clips)
    if objective.stage.denoises:
        draws = Draws("picture", 0, range(len(latents)), device=latents.device)
        time = torch.full((len(latents),), _MIDDLE_NOISE, device=latents.device)
        latents = objective.denoise(clips, latents, [""] * len(latents), time, draws)[1]
    return objective.vae.decode(latents)
