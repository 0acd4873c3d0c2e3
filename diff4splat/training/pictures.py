"""What a stage can do, next to the truth, as a picture."""

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets import depth_limits
from diff4splat.pictures import contact_sheet, depth_bar, depth_map, stack_pictures, text_size_for
from diff4splat.training.draws import Draws
from diff4splat.training.objective import Objective
from diff4splat.training.targets import is_known

__all__ = ["stage_picture"]

_ROWS = 4
_MIDDLE_NOISE = 0.5


@torch.no_grad()
def stage_picture(objective: Objective, clips: dict[str, Tensor]) -> Float[Tensor, "rgb=3 height width"]:
    """Truth and result side by side, one clip per row, with words above the columns.

    Stages of the reconstruction model show the first frame, the last one, what is rendered there, its depth
    at the first frame and the true one, with the scale of depth below; it is that of the true depth, where
    that is known. Those of the autoencoder and the diffusion transformer show the last frame and what is
    decoded there: from its latents, or from what is made of them at half noise.

    Args:
        objective: The stage and its parts.
        clips: Batch, of which the first clips are shown.

    Returns:
        Picture in sRGB, in [0, 1], on the CPU.
    """
    few = {name: value[:_ROWS] for name, value in clips.items()}
    video = few["video"].float() / 255
    if not objective.stage.reconstructs:
        how = "decoded from half noise" if objective.stage.denoises else "decoded"
        columns = {"last frame": video[:, -1], how: _decoded(objective, few)[:, -1]}
        return _sheet(columns)
    times = torch.tensor([0.0, 1.0], device=video.device)
    images = objective.reconstruct(few, objective.encode(few), times)
    columns = {"first frame": video[:, 0], "last frame": video[:, -1], "rendered": images.color[:, 1]}
    depths = {"its depth, first": images.depth[:, 0, 0]}
    if "depth" in few:
        depths["true depth"] = few["depth"][:, 0].float()
    near, far = _limits(depths)
    columns |= {name: depth_map(depth, near=near, far=far) for name, depth in depths.items()}
    sheet = _sheet(columns)
    unknown = not all(bool(is_known(depth).all()) for depth in depths.values())
    size = text_size_for(*video.shape[-2:])
    bar = depth_bar(near, far, width=sheet.shape[2], text_size=size, unknown=unknown)
    return stack_pictures([sheet, bar])


def _sheet(columns: dict[str, Tensor]) -> Tensor:
    rows = torch.stack([values.float().clamp(0, 1).cpu() for values in columns.values()], dim=1)
    return contact_sheet(rows, column_labels=list(columns))


def _limits(depths: dict[str, Tensor]) -> tuple[float, float]:
    """Ends of the scale of depth: those of the last map, the true one where there is one, if it has any."""
    known = [depth for depth in depths.values() if bool(is_known(depth).any())]
    if not known:
        return 1.0, 2.0
    near, far = depth_limits(known[-1])
    return near, far if far > near else near * 1.001


def _decoded(objective: Objective, clips: dict[str, Tensor]) -> Tensor:
    latents = objective.encode(clips)
    if objective.stage.denoises:
        draws = Draws("picture", 0, range(len(latents)), device=latents.device)
        time = torch.full((len(latents),), _MIDDLE_NOISE, device=latents.device)
        latents = objective.denoise(clips, latents, [""] * len(latents), time, draws)[1]
    return objective.vae.decode(latents)
