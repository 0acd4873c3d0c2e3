"""What can be run, and what is missing for it: one table of models, their sources, licences and sizes."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diff4splat.hub import cached_weights_bytes, list_bundled, resolve_pretrained
from diff4splat.hub.resolve import comes_with_weights

__all__ = [
    "KNOWN_MODELS",
    "KnownModel",
    "bytes_to_download",
    "find_model",
    "list_models",
    "missing_for",
]

_Role = Literal["pipeline", "video model", "reconstructor", "preview decoder"]

_PACKAGES = ("diffusers", "transformers")
_COGVIDEOX = "diff4splat.backbones.cogvideox:CogVideoXBackbone.from_pretrained"
_WAN = "diff4splat.backbones.wan:WanBackbone.from_pretrained"
_FUN = "diff4splat.backbones.wan_fun_camera:WanFunCameraBackbone.from_pretrained"
_TINY = "diff4splat.backbones.tiny_vae:TinyVideoVAE.from_pretrained"
_APACHE = "Apache-2.0"
_COGVIDEOX_LICENCE = "CogVideoX License; free for research, commercial use by registration"


@dataclass(frozen=True)
class KnownModel:
    """A model that can be run, and where it comes from.

    Args:
        name: Short name, for `diff4splat models NAME`.
        summary: What it does, for people.
        role: Which place it takes.
        repository: Hub id `owner/name`; None for what comes with the package.
        licence: Of the weights, a fact as their source states it.
        loader: "package.module:attribute" to call.
        backbone: Name that it is registered under as a video backbone; None if it is none.
        parameters: Number of parameters of each part.
        sizes: Sizes of the parts that decide memory and time, in the words of their published configurations.
        clip: Frames, height and width that it was trained for.
        steps: Sampling steps that its authors use.
        download_bytes: What is downloaded for it, about.
        pattern: Files of the repository that are needed, where not all.
        packages: Packages that it needs beyond those of this one.
        memory: Bytes of memory that a run takes, where that is known without an estimate.
        parts: Names of the models that a route is made of.
    """

    name: str
    summary: str
    role: _Role
    repository: str | None
    licence: str
    loader: str
    backbone: str | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    clip: tuple[int, int, int] | None = None
    steps: int = 50
    download_bytes: int = 0
    pattern: str = "*"
    packages: tuple[str, ...] = ()
    memory: int | None = None
    parts: tuple[str, ...] = ()

    @property
    def num_parameters(self) -> int:
        """Parameters of all parts."""
        return sum(self.parameters.values())

    @property
    def code(self) -> tuple[str, str]:
        """Lines of Python that load it."""
        module, _, attribute = self.loader.partition(":")
        source = self.repository or self.name
        name = {"video model": "backbone", "pipeline": "pipe"}.get(self.role, self.role.replace(" ", "_"))
        return (
            f"from {module} import {attribute.partition('.')[0]}",
            f'{name} = {attribute}("{source}")',
        )


_UMT5, _T5, _CLIP = 5_680_910_336, 4_762_310_656, 630_766_080
_VAE_2_1, _VAE_2_2, _VAE_COGVIDEOX = 126_892_531, 704_688_668, 215_583_907

# Sizes of transformers in the words of diffusers; `tokens_in_time`: a time step of its own for every token.
_WAN_1B = {"dim": 1536, "ffn_dim": 8960, "num_layers": 30}
_WAN_5B = {"dim": 3072, "ffn_dim": 14336, "num_layers": 30}
_WAN_14B = {"dim": 5120, "ffn_dim": 13824, "num_layers": 40}
_CLIP_ENCODED = {"image_tokens": 257}


def _wan_model(
    name: str, summary: str, repository: str, kind: str, transformer: int, gigabytes: int, **options: Any
) -> KnownModel:
    """A Wan with its encoders and autoencoder."""
    sizes, latents = options.pop("sizes"), options.pop("latents")
    parameters = {"transformer": transformer, "text_encoder": _UMT5}
    if "image_tokens" in sizes:
        parameters["image_encoder"] = _CLIP
    parameters["vae"] = _VAE_2_2 if latents == 48 else _VAE_2_1
    return KnownModel(
        name,
        summary,
        "video model",
        repository,
        _APACHE,
        _FUN if kind == "wan-fun-camera" else _WAN,
        backbone=kind,
        parameters=parameters,
        sizes={"family": "wan", "latent_channels": latents, "text_tokens": 512, **sizes},
        download_bytes=gigabytes * 10**9,
        packages=_PACKAGES,
        **options,
    )


def _cogvideox_model(name: str, repository: str, version: str, parameters: int, **sizes: Any) -> KnownModel:
    return KnownModel(
        name,
        f"image and prompt to video, CogVideoX {version}",
        "video model",
        repository,
        _COGVIDEOX_LICENCE,
        _COGVIDEOX,
        backbone="cogvideox",
        parameters={"transformer": parameters, "text_encoder": _T5, "vae": _VAE_COGVIDEOX},
        sizes={
            **{"family": "cogvideox", "dim": 3072, "ffn_dim": 12288, "num_layers": 42, "latent_channels": 16},
            **{"in_channels": 32, "text_tokens": 226, **sizes},
        },
        clip=(49, 480, 720) if version == "1.0" else (81, 768, 1360),
        download_bytes=21_500_000_000,
        packages=_PACKAGES,
    )


def _tiny_model(name: str, of: str, parameters: int, latents: int) -> KnownModel:
    return KnownModel(
        name,
        f"quick previews of the latents of {of}",
        "preview decoder",
        "madebyollin/taehv",
        "MIT",
        _TINY,
        parameters={"autoencoder": parameters},
        sizes={"family": "taehv", "latent_channels": latents},
        download_bytes=2 * parameters,
        pattern=f"{name}*",
    )


_TABLE = (
    KnownModel(
        "compact",
        "photograph and camera path to a scene, small, trained on procedural scenes",
        "pipeline",
        None,
        "MIT",
        "diff4splat:Diff4SplatPipeline.from_pretrained",
        backbone="compact",
        parameters={"transformer": 8_337_184, "vae": 2_549_056, "ldrm": 6_524_266},
        sizes={"family": "compact", "dim": 256, "ffn_dim": 768, "num_layers": 8, "latent_channels": 8},
        clip=(9, 128, 128),
        steps=30,
        memory=1_800_000_000,
    ),
    _wan_model(
        "wan2.2-fun-camera-5b",
        "image and camera path to video, Wan2.2-Fun-5B-Control-Camera",
        "alibaba-pai/Wan2.2-Fun-5B-Control-Camera",
        "wan-fun-camera",
        5_245_802_688,
        23,
        latents=48,
        sizes={**_WAN_5B, "in_channels": 100, "per_token_times": True, "encodes_clip": True},
        clip=(121, 704, 1280),
    ),
    _wan_model(
        "wan2.1-fun-camera-1.3b",
        "image and camera path to video, Wan2.1-Fun-V1.1-1.3B-Control-Camera, the smallest",
        "alibaba-pai/Wan2.1-Fun-V1.1-1.3B-Control-Camera",
        "wan-fun-camera",
        1_616_313_152,
        19,
        latents=16,
        sizes={**_WAN_1B, "in_channels": 32, **_CLIP_ENCODED},
        clip=(81, 480, 832),
    ),
    _wan_model(
        "wan2.1-fun-camera-14b",
        "image and camera path to video, Wan2.1-Fun-V1.1-14B-Control-Camera",
        "alibaba-pai/Wan2.1-Fun-V1.1-14B-Control-Camera",
        "wan-fun-camera",
        16_898_128_704,
        50,
        latents=16,
        sizes={**_WAN_14B, "in_channels": 32, **_CLIP_ENCODED},
        clip=(81, 480, 832),
    ),
    _wan_model(
        "wan2.2-ti2v-5b",
        "image and prompt to video, Wan2.2-TI2V-5B",
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        "wan2.2-ti2v-5b",
        4_999_787_712,
        34,
        latents=48,
        sizes={**_WAN_5B, "in_channels": 48, "per_token_times": True},
        clip=(121, 704, 1280),
    ),
    _wan_model(
        "wan2.1-i2v-14b-480p",
        "image and prompt to video, Wan2.1-I2V-14B for 480 lines",
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        "wan2.1",
        16_394_878_784,
        90,
        latents=16,
        sizes={**_WAN_14B, "in_channels": 36, "encodes_clip": True, **_CLIP_ENCODED},
        clip=(81, 480, 832),
    ),
    _wan_model(
        "wan2.1-i2v-14b-720p",
        "image and prompt to video, Wan2.1-I2V-14B for 720 lines",
        "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
        "wan2.1",
        16_394_878_784,
        90,
        latents=16,
        sizes={**_WAN_14B, "in_channels": 36, "encodes_clip": True, **_CLIP_ENCODED},
        clip=(81, 720, 1280),
    ),
    _cogvideox_model("cogvideox-5b-i2v", "THUDM/CogVideoX-5b-I2V", "1.0", 5_570_479_680),
    _cogvideox_model(
        "cogvideox1.5-5b-i2v", "THUDM/CogVideoX1.5-5B-I2V", "1.5", 5_571_594_880, temporal_patch=2
    ),
    KnownModel(
        "movies",
        "video and cameras to a moving scene",
        "reconstructor",
        "chenguolin/MoVieS",
        "MIT; started from the weights of VGGT-1B, which are non-commercial: check before commercial use",
        "diff4splat.models.movies:MoVieSReconstructor.from_pretrained",
        parameters={"reconstructor": 1_041_147_254},
        sizes={"family": "movies", "dim": 1024, "num_layers": 24},
        clip=(13, 224, 224),
        download_bytes=4_164_700_000,
        memory=6_300_000_000,
        pattern="movies_ckpt*",
    ),
    _tiny_model("taew2_1", "Wan2.1 and Wan2.1-Fun", 11_315_539, 16),
    _tiny_model("taew2_2", "Wan2.2-TI2V-5B and Wan2.2-Fun-5B", 11_418_108, 48),
    _tiny_model("taecvx", "CogVideoX", 11_315_539, 16),
)

KNOWN_MODELS: dict[str, KnownModel] = {model.name: model for model in _TABLE}
"""What can be run, by name."""


def find_model(name: str) -> KnownModel | None:
    """The entry of a model by its name, its repository or, if only one has it, the kind of its backbone.

    Args:
        name: Such as "movies", "chenguolin/MoVieS" or "wan2.2-ti2v-5b"; upper and lower case are alike.

    Returns:
        The entry, or None.
    """
    wanted = name.lower()
    by_source = {model.repository.lower(): model for model in _TABLE if model.repository}
    kinds = [model for model in _TABLE if model.backbone == wanted]
    entry = KNOWN_MODELS.get(wanted) or by_source.get(wanted)
    return entry or (kinds[0] if len(kinds) == 1 else None)


def list_models() -> list[KnownModel]:
    """What can be run: pipelines and routes that come with the package, then what others publish.

    Returns:
        The entries.
    """
    bundled = [KNOWN_MODELS.get(name) or _route(name) for name in list_bundled()]
    return [*bundled, *(model for model in _TABLE if model not in bundled)]


def missing_for(model: KnownModel) -> list[str]:
    """What has to be got before a model runs; touches no network and loads nothing.

    Args:
        model: Of `list_models`.

    Returns:
        One phrase for each thing that is missing, such as "pip install diffusers" and "download 23 GB"; empty
        if it can be run now.
    """
    missing = []
    packages = [name for name in model.packages if importlib.util.find_spec(name) is None]
    if packages:
        missing.append(f"pip install {' '.join(packages)}")
    if not _exists(model.loader.partition(":")[0]):
        missing.append("a newer diff4splat")
    own = model.repository is None and not model.parts
    if own and not comes_with_weights(model.name):
        missing.append("weights, which this copy of the package lacks")
    left = sum(bytes_to_download(part) for part in (model, *(KNOWN_MODELS[name] for name in model.parts)))
    if left:
        missing.append(f"download {_size(left)}")
    return missing


def bytes_to_download(model: KnownModel) -> int:
    """Bytes of a model that are not in the Hub cache yet, about; touches no network.

    Args:
        model: An entry.

    Returns:
        0 for what comes with the package.
    """
    if model.repository is None:
        return 0
    there = cached_weights_bytes(model.repository, pattern=model.pattern)
    return 0 if there > 0.8 * model.download_bytes else model.download_bytes - there  # sizes are rounded


def _route(name: str) -> KnownModel:
    """Entry of a bundled pipeline that takes its parts from the Hub."""
    try:
        text = (resolve_pretrained(name) / "pipeline_config.json").read_text(encoding="utf-8")
        config = json.loads(text)
    except (OSError, ValueError):
        config = {}
    references = [config.get(part) for part in ("backbone", "reconstructor")]
    sources = [str(part.get("repository")) for part in references if isinstance(part, dict)]
    parts = [entry for entry in map(find_model, sources) if entry is not None]
    licences = dict.fromkeys(part.licence for part in parts)
    clip = tuple(config.get(key, 0) for key in ("num_frames", "height", "width"))
    return KnownModel(
        name,
        "photograph and camera path to a scene, by " + " and ".join(part.name for part in parts),
        "pipeline",
        None,
        " and ".join(licences) or "that of its parts",
        "diff4splat:Diff4SplatPipeline.from_pretrained",
        parameters={key: count for part in parts for key, count in part.parameters.items()},
        clip=(clip[0], clip[1], clip[2]),
        steps=config.get("num_steps", 30),
        packages=tuple(dict.fromkeys(package for part in parts for package in part.packages)),
        parts=tuple(part.name for part in parts),
    )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _size(count: int) -> str:
    amount, unit = (count / 1e9, "GB") if count >= 1e9 else (count / 1e6, "MB")
    return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
