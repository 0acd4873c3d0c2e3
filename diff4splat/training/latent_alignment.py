"""Latent alignment: a tiny video autoencoder learns the latents of a large one, and to decode them."""

import contextlib
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones import TinyVideoVAE
from diff4splat.data import ClipDataset
from diff4splat.files import atomic_path
from diff4splat.losses import weighted_sum
from diff4splat.training.batches import Batches
from diff4splat.training.draws import Draws
from diff4splat.training.objective import StepValues
from diff4splat.training.recipe import Stage
from diff4splat.training.trainer import make_accelerator, train_stage
from diff4splat.training.watch import Watch

__all__ = ["ALIGNMENT_WEIGHTS", "LatentAlignment", "align_latents", "alignment_errors"]

ALIGNMENT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"latent": 1.0, "reconstruction": 1.0, "decoding": 1.0}
)
"""Weights of the errors of `alignment_errors`."""

_SETTINGS, _RESULT = "alignment.json", "tiny_vae"


def alignment_errors(
    tiny: TinyVideoVAE,
    video: Float[Tensor, "batch frame rgb=3 height width"],
    latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
    *,
    names: Sequence[str] = tuple(ALIGNMENT_WEIGHTS),
) -> dict[str, Float[Tensor, " batch"]]:
    r"""How far a tiny autoencoder is from a large one, and how well it does without it.

    $$e_\text{latent} = \overline{(E(x) - z)^2}, \quad e_\text{reconstruction} = \overline{|D(E(x)) - x|},
      \quad e_\text{decoding} = \overline{|D(z) - x|}$$

    with $x$ = `video`, $z$ = `latents`, and encoder $E$ and decoder $D$ of `tiny`. Latents are normalised to
    a variance of about one, so that the first error is the share of it that is not explained. That error does
    not train the decoder, and the last one does not train the encoder.

    Args:
        tiny: The tiny autoencoder; colours are compared before they are limited to [0, 1].
        video: Values in [0, 1].
        latents: Those that the large autoencoder gives for `video`.
        names: Errors to compute.

    Returns:
        Means over all but the clips, by name.

    Raises:
        ValueError: If a name is unknown, or `latents` has not the shape that `tiny` gives for `video`.
    """
    _check_names(names)
    expected = (len(video), *tiny.spec.latent_shape(video.shape[1], *video.shape[-2:]))
    if latents.shape != expected:
        raise ValueError(
            f"latents must have the shape {list(expected)} that the tiny autoencoder gives for this video, "
            f"got {list(latents.shape)}."
        )
    errors = {}
    if "latent" in names or "reconstruction" in names:
        encoded = tiny.encode(video, chunk_size=None)
        errors["latent"] = _per_clip((encoded - latents).square())
    if "reconstruction" in names:
        errors["reconstruction"] = _per_clip((tiny.decode_unclamped(encoded, chunk_size=None) - video).abs())
    if "decoding" in names:
        errors["decoding"] = _per_clip((tiny.decode_unclamped(latents, chunk_size=None) - video).abs())
    return {name: errors[name] for name in names}


class LatentAlignment(nn.Module):
    """What `align_latents` minimises, for `train_stage` with a stage of one's own.

    Args:
        tiny: The tiny autoencoder; a half that no weight reaches is frozen.
        teacher_encode: Video in [0, 1] to normalised latents, for clips that come without.
        weights: Weights of the errors of `alignment_errors`; those left out are not computed.

    Raises:
        ValueError: If there is no weight, or one is unknown or not above zero.
    """

    def __init__(
        self,
        tiny: TinyVideoVAE,
        teacher_encode: Callable[[Tensor], Tensor] | None = None,
        *,
        weights: Mapping[str, float] = ALIGNMENT_WEIGHTS,
    ) -> None:
        super().__init__()
        _check_names(tuple(weights))
        for name, weight in weights.items():
            if not weight > 0:
                raise ValueError(f"weights[{name!r}] must be > 0, got {weight}.")
        self.tiny = tiny
        self.weights = dict(weights)
        self.tiny.encoder.requires_grad_("latent" in weights or "reconstruction" in weights)
        self.tiny.decoder.requires_grad_("reconstruction" in weights or "decoding" in weights)
        # in a tuple, so that a teacher which is a module is no part of this one
        self._given = (teacher_encode,)

    def forward(self, clips: dict[str, Tensor], captions: Sequence[str], draws: Draws) -> StepValues:
        """Errors of some clips.

        Args:
            clips: Batch with `video`, and `latents` where there is no teacher.
            captions: Not used.
            draws: Not used.

        Returns:
            The weighted sum and the errors.

        Raises:
            ValueError: If there are neither latents nor a teacher, or latents of another shape than those of
                the tiny autoencoder.
        """
        video = clips["video"].float() / 255
        (teacher_encode,) = self._given
        if teacher_encode is None and "latents" not in clips:
            raise ValueError("clips must hold latents when there is no teacher_encode, got none.")
        with torch.no_grad(), torch.autocast(video.device.type, enabled=False):
            latents = clips["latents"] if teacher_encode is None else teacher_encode(video)
        errors = alignment_errors(self.tiny, video, latents.float(), names=tuple(self.weights))
        means = {name: error.detach().mean() for name, error in errors.items()}
        return StepValues(weighted_sum(errors, self.weights).mean(), means, ratios={})


def align_latents(
    tiny: TinyVideoVAE,
    teacher_encode: Callable[[Tensor], Tensor] | None,
    clips: ClipDataset,
    folder: str | Path,
    *,
    steps: int,
    batch: int = 8,
    learning_rate: float = 1e-3,
    weights: Mapping[str, float] = ALIGNMENT_WEIGHTS,
    seed: int = 0,
    precision: Literal["no", "bf16", "fp16"] = "no",
    cpu: bool = False,
    watch: Watch | None = None,
) -> TinyVideoVAE:
    """Train a tiny autoencoder so that its latents are those of a large one, and decode to its videos.

    Runs on `train_stage`: the same call in the same folder goes on after a break, and `accelerate launch`
    runs it in several processes.

    Args:
        tiny: Where to start from, published or random weights; stays as it is.
        teacher_encode: Video in [0, 1], on the device that trains, to normalised latents, such as `encode` of
            a backbone that is there; None where clips hold `latents`.
        clips: Clips with the key `video`, whose frames and size fit `tiny.spec`.
        folder: Where checkpoints, log.jsonl and, as tiny_vae/, the result are written.
        steps: Optimiser steps.
        batch: Clips per step, over all processes.
        learning_rate: Highest rate; it falls to zero as a cosine.
        weights: Weights of the errors of `alignment_errors`. With "decoding" alone the encoder stays as it
            is, with "latent" alone the decoder.
        seed: Of the order of the clips.
        precision: "bf16" for convolutions in bfloat16, "fp16" (GPU), or "no".
        cpu: Leave GPUs alone.
        watch: What is written and shown; the defaults when omitted.

    Returns:
        The running average of the trained weights, on the CPU in evaluation mode.

    Raises:
        ValueError: If a number is out of range, `folder` holds a run with other settings, clips or latents do
            not fit, or the loss is not finite.
        ModuleNotFoundError: If accelerate is not installed.
    """
    folder = Path(folder)
    settings = {"tiny_vae": tiny.config, "steps": steps, "batch": batch, "learning_rate": learning_rate}
    settings |= {"weights": dict(weights), "seed": seed, "precision": precision}
    _check_settings(folder, settings)
    # of a stage, what is trained and why is for recipes; here its numbers count
    stage = Stage(
        "alignment",
        train=("vae",),
        losses={"pixel": 1.0},
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warmup=min(100, steps // 10),
    )
    objective = LatentAlignment(copy.deepcopy(tiny).float(), teacher_encode, weights=weights)
    accelerator = make_accelerator(precision, cpu=cpu)
    batches = Batches(
        [(clips, 1.0)],
        batch,
        seed=seed,
        needs=["video"] if teacher_encode is not None else ["video", "latents"],
        rank=accelerator.process_index,
        num_ranks=accelerator.num_processes,
        bad_log=folder / "bad_clips.jsonl",
    )
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / _SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    trained = train_stage(objective, batches, stage, folder, accelerator, seed=seed, watch=watch)
    batches.check_bad_share()
    if accelerator.is_main_process:
        result = copy.deepcopy(tiny).float()
        result.load_state_dict({name.removeprefix("tiny."): value for name, value in trained.items()})
        result.save_pretrained(folder / _RESULT)
    accelerator.wait_for_everyone()
    return TinyVideoVAE.from_pretrained(folder / _RESULT)


def _check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in ALIGNMENT_WEIGHTS]
    if unknown or not names:
        expected = ", ".join(ALIGNMENT_WEIGHTS)
        raise ValueError(f"errors must be of {expected}, got {', '.join(unknown) or 'none'}.")


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of other settings."""
    before: Mapping[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        before = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    for name, value in settings.items():
        if name in before and before[name] != value:
            raise ValueError(
                f"{folder} holds a run with {name}={before[name]!r}, this one has {value!r}: "
                "choose another folder."
            )


def _per_clip(values: Tensor) -> Tensor:
    """Mean over everything but the clips."""
    return values.flatten(1).mean(1)
