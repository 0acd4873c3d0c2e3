"""The parts of a pipeline and their sizes, from configurations and headers alone."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diff4splat.backbones import PretrainedReference
from diff4splat.catalog.registry import KNOWN_MODELS, KnownModel, bytes_to_download, find_model
from diff4splat.diffusion import ConstantGuidance, Guidance, network_passes
from diff4splat.hub import (
    cached_folder,
    list_bundled,
    read_config,
    read_safetensors_header,
    resolve_pretrained,
)
from diff4splat.pipelines.config import CONFIG_NAME
from diff4splat.pipelines.costs import AUTOENCODERS, AutoencoderCost, Sizes

__all__ = ["RunPlan", "plan_run"]

_IN_FLOAT32 = ("ldrm", "reconstructor")
_DEFAULT_CLIP = (49, 480, 832)


@dataclass(frozen=True)
class RunPlan:
    """What a run is made of.

    Args:
        clip: Frames, height and width of the generated clip.
        num_steps: Sampling steps.
        guidance: Of the pipeline; None for the default of the video model.
        parameters: Number of parameters by part.
        sizes: Of the transformer.
        autoencoder: What the autoencoder costs; None for an unknown one.
        scales: Channels of its encoder and decoder over those of the published one.
        decodes: Whether the video is decoded: the reconstructor reads frames.
        reconstructor: "movies", or "".
        ldrm: Arguments of the reconstruction model that reads latents.
        num_gaussians: Budget; None for no limit.
        detail_size: Longest side of the photograph that the reconstruction model reads.
        download: Bytes that are not in the Hub cache yet, about.
        unknown: Parts that nothing is known about.
    """

    clip: tuple[int, int, int]
    num_steps: int
    guidance: Guidance | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    autoencoder: AutoencoderCost | None = None
    scales: tuple[float, float] = (1.0, 1.0)
    decodes: bool = False
    reconstructor: str = ""
    ldrm: Mapping[str, Any] | None = None
    num_gaussians: int | None = None
    detail_size: int = 512
    download: int = 0
    unknown: tuple[str, ...] = ()

    def element(self, part: str, dtype: torch.dtype) -> int:
        """Bytes of a value of a part: some parts compute in float32 whatever the rest does."""
        wide = part in _IN_FLOAT32 or self.sizes.get("family") == "compact"
        wide = wide or (part in ("vae", "image_encoder") and self.sizes.get("family") == "wan")
        return 4 if wide else dtype.itemsize

    def count_passes(self, guidance: Guidance | float | int | None, num_steps: int) -> int:
        """Passes of the transformer over all steps."""
        chosen = self.guidance if guidance is None else guidance
        if chosen is None:
            return 2 * num_steps
        return network_passes(
            ConstantGuidance(float(chosen)) if isinstance(chosen, (int, float)) else chosen, num_steps
        )

    def ldrm_cost(self, frames: int, height: int, width: int) -> tuple[float, float]:
        """Bytes beside the weights, and operations, of the reconstruction model: its own code, counted."""
        from diff4splat.models.cost import count_flops, estimate_memory

        share = self.detail_size / max(height, width)
        image = (round(height * share), round(width * share))
        sizes: dict[str, Any] = {"num_frames": frames, "height": height, "width": width, "image_size": image}
        memory = estimate_memory(self._ldrm_module, **sizes)
        return float(memory.peak - memory.parameters), float(
            sum(count_flops(self._ldrm_module, **sizes).values())
        )

    @cached_property
    def _ldrm_module(self) -> Any:
        from diff4splat.models import LDRM

        config = {key: value for key, value in (self.ldrm or {}).items() if not key.startswith("_")}
        with torch.device("meta"):
            return LDRM(**config)


def plan_run(model: str | os.PathLike[str]) -> RunPlan:
    """Find out what a run is made of; nothing is loaded, and no network touched.

    Args:
        model: See `preflight`.

    Returns:
        The plan.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If nothing is known about it before it is downloaded.
    """
    name = os.fspath(model)
    known = find_model(name)
    if name in list_bundled() or Path(name).expanduser().is_dir():
        folder: Path | None = resolve_pretrained(name)
    else:
        folder = cached_folder(name) if "/" in name else None
    if folder is not None and (folder / CONFIG_NAME).is_file():
        return _plan_pipeline(folder)
    if known is not None and known.role == "video model":
        return RunPlan(
            known.clip or _DEFAULT_CLIP,
            known.steps,
            decodes=True,
            download=bytes_to_download(known),
            **_of_known(known),
        )
    if folder is not None and (folder / "transformer").is_dir():
        return RunPlan(_DEFAULT_CLIP, 50, decodes=True, **_of_folder(folder))
    if "/" not in name and not Path(name).exists():
        raise FileNotFoundError(
            f"no model {name!r}: known are {', '.join(KNOWN_MODELS)}, folders and Hub ids."
        )
    raise ValueError(f"what {name} needs is not known before it is downloaded.")


def _plan_pipeline(folder: Path) -> RunPlan:
    """What the configuration of a pipeline says; loading it says what is wrong with it."""
    from diff4splat.pipelines.config import read_pipeline_config

    config = read_pipeline_config(folder / CONFIG_NAME)
    backbone, reconstructor = config["backbone"], config.get("reconstructor")
    parts: dict[str, Any] = {}
    download, unknown = 0, []
    if isinstance(backbone, PretrainedReference):
        entry, place = find_model(backbone.repository), folder / backbone.repository
        if entry is not None:
            parts, download = _of_known(entry), bytes_to_download(entry)
        elif (place / "transformer").is_dir():
            parts = _of_folder(place)
        elif backbone.kind != "video":
            unknown.append(f"the video model {backbone.repository}")
    elif backbone in KNOWN_MODELS:
        parts = _of_known(KNOWN_MODELS[backbone])
    else:
        unknown.append(f"the video model {backbone!r}")
    parameters = {key: count for key, count in parts.get("parameters", {}).items() if key != "ldrm"}
    kind, ldrm = "", None
    if reconstructor is not None:
        kind = reconstructor.kind
        if kind == "movies":
            entry = KNOWN_MODELS["movies"]
            parameters |= entry.parameters
            download += bytes_to_download(entry)
        else:
            unknown.append(f"the reconstructor {kind!r}")
    elif (folder / "ldrm" / "config.json").is_file():
        ldrm = read_config(folder / "ldrm")
        parameters["ldrm"] = read_safetensors_header(folder / "ldrm").num_parameters
    parts["parameters"] = parameters
    return RunPlan(
        (config["num_frames"], config["height"], config["width"]),
        config.get("num_steps", 30),
        config.get("guidance"),
        decodes=bool(kind),
        reconstructor=kind,
        ldrm=ldrm,
        num_gaussians=config.get("num_gaussians", 50_000),
        detail_size=config.get("detail_size", 512),
        download=download,
        unknown=tuple(unknown),
        **parts,
    )


def _of_known(entry: KnownModel) -> dict[str, Any]:
    autoencoder = AUTOENCODERS.get((entry.sizes.get("family", ""), entry.sizes.get("latent_channels", 0)))
    return {"parameters": dict(entry.parameters), "sizes": dict(entry.sizes), "autoencoder": autoencoder}


def _of_folder(folder: Path) -> dict[str, Any]:
    """Sizes of a repository of diffusers that lies in a folder, from its configurations and headers."""
    transformer, vae = (read_config(folder / part) for part in ("transformer", "vae"))
    dim = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    cogvideox = str(transformer.get("_class_name", "")).startswith("CogVideoX")
    latents = vae.get("z_dim") or vae.get("latent_channels")
    sizes: Sizes = {
        "family": "cogvideox" if cogvideox else "wan",
        "dim": dim,
        "ffn_dim": transformer.get("ffn_dim") or 4 * dim,
        "num_layers": transformer["num_layers"],
        "in_channels": transformer["in_channels"],
        "latent_channels": latents,
        "text_tokens": transformer.get("max_text_seq_length", 512),
        "temporal_patch": transformer.get("patch_size_t") or 1,
        "image_tokens": 257 if transformer.get("image_dim") else 0,
        "encodes_clip": transformer["in_channels"] != latents and not cogvideox,
    }
    index = _read_json(folder / "model_index.json")
    sizes["per_token_times"] = bool(index.get("expand_timesteps"))
    kind = ("cogvideox", 16) if cogvideox else ("wan", 48 if vae.get("is_residual") else 16)
    cost = AUTOENCODERS[kind]
    first = (vae.get("block_out_channels") or [vae.get("base_dim", 96)])[0]
    scales = (first / cost.width[0], (vae.get("decoder_base_dim") or first) / cost.width[1])
    parts = ("transformer", "text_encoder", "image_encoder", "vae")
    parameters = {
        part: read_safetensors_header(folder / part).num_parameters
        for part in parts
        if any((folder / part).glob("*.safetensors"))
    }
    return {"parameters": parameters, "sizes": sizes, "autoencoder": cost, "scales": scales}


def _read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file, empty if there is none or it is no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
