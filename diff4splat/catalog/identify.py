"""What a file of weights is, and which class loads it, from its header alone."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from diff4splat.catalog.layouts import LAYOUTS, Layout
from diff4splat.catalog.variants import VARIANTS, Variant
from diff4splat.hub import WeightsHeader, read_config

__all__ = ["WeightsIdentity", "identify"]

_Shape = tuple[int, ...]

_OWN_CLASSES = {
    "ByteTextEncoder": "diff4splat.backbones.compact.text",
    "CausalVideoVAE": "diff4splat.backbones.compact",
    "CompactDiT": "diff4splat.backbones.compact",
    "FunControlAdapter": "diff4splat.backbones",
    "LDRM": "diff4splat.models",
    "PluckerAdapter": "diff4splat.backbones",
    "PluckerConcatenation": "diff4splat.backbones",
    "PluckerEmbedding": "diff4splat.cameras",
    "TinyVideoVAE": "diff4splat.backbones.tiny_vae",
}
"""Classes of this package that write a config.json beside their weights, and where they live."""

_OWN_NAMES = {
    "LDRM": ("gaussian_head.output.weight", "deformation_head.output.weight", "tokens.latent.embed.weight"),
    "CompactDiT": ("latent_tokens.weight", "pose_tokens.weight", "text.embedding.weight"),
    "CausalVideoVAE": ("latent_mean", "latent_std", "decoder.input.layer.weight"),
    "PluckerAdapter": ("read.weight", "mix.weight", "write.weight"),
    "PluckerConcatenation": ("embed.weight", "norm.weight", "write.weight"),
}
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "module.", "model.")
_LORA = re.compile(r"\.(lora_(A|B|up|down)|lora\.(up|down))\.")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_FIT = 0.5  # share of the tensors that must be known before a layout is named


@dataclass(frozen=True)
class WeightsIdentity:
    """What a file of weights is.

    Args:
        title: For people, such as "Wan2.2-Fun-5B-Control-Camera".
        layout: How its tensors are named, for people; empty where it is unknown.
        model: Name in `KNOWN_MODELS`, if this package can run it.
        loader: "package.module:Class" that loads it; empty where none does.
        code: Lines of Python that load it.
        problems: Why it will not load as it is, one sentence each; empty if nothing is wrong.
    """

    title: str
    layout: str = ""
    model: str | None = None
    loader: str = ""
    code: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class _Fit(NamedTuple):
    """How well a layout explains a file."""

    name: str
    layout: Layout
    sizes: dict[str, int]
    num_blocks: int
    options: tuple[str, ...]
    share: float


def identify(header: WeightsHeader) -> WeightsIdentity:
    """What weights are, by the names and shapes of their tensors.

    Known are the parts of this package, its scenes, and the video models, autoencoders, encoders and
    reconstructors that it can run with. A file that is almost one of them is named so, and the difference is
    said.

    Args:
        header: Of `read_safetensors_header`.

    Returns:
        What it is; "unknown weights" where nothing fits.
    """
    own = _own(header)
    if own is not None:
        return own
    shapes = {name: info.shape for name, info in header.tensors.items()}
    if sum(bool(_LORA.search(name)) for name in shapes) > len(shapes) / 2:
        return _lora(header.path, shapes)
    prefix, shapes = _without_prefix(shapes)
    shard = _SHARD.search(header.path.name)
    fits = sorted((_fit(name, shapes, part=bool(shard)) for name in LAYOUTS), key=lambda fit: fit.share)
    if not fits or fits[-1].share < _FIT:
        return WeightsIdentity("unknown weights")
    fit = fits[-1]
    variant = _nearest(fit, header.path)
    problems = [f"the names begin with {prefix!r}, which has to go before they are loaded"] if prefix else []
    if shard:
        problems.append(
            f"this is shard {int(shard[1])} of {int(shard[2])}: give the folder or its index.json instead"
        )
    if variant is None:
        said = ", ".join(f"{word} {size}" for word, size in fit.sizes.items())
        if not shard:
            known = defaultdict(lambda: -1, fit.sizes)
            problems += _differences(fit.layout, known, fit.num_blocks, fit.options, shapes)
        title = f"weights of a size that is not known here ({said}; {fit.num_blocks} blocks)"
        return WeightsIdentity(title, fit.layout.title, problems=tuple(problems))
    if not shard:
        sizes = {**fit.sizes, **variant.sizes}
        found = _differences(
            fit.layout, sizes, variant.num_blocks, variant.options, shapes, variant.num_tensors
        )
        problems += found
    path = header.path
    folder = path if path.is_dir() else path.parent
    code = tuple(line.replace("{path}", str(path)).replace("{folder}", str(folder)) for line in variant.code)
    return WeightsIdentity(
        variant.title, fit.layout.title, variant.model, variant.loader, code, tuple(problems)
    )


def _own(header: WeightsHeader) -> WeightsIdentity | None:
    """A scene, or a module of this package, exactly compared with what its config.json builds."""
    if header.metadata.get("format", "").strip('"') == "diff4splat-scene":
        code: tuple[str, ...] = (
            "from diff4splat import DeformableGaussianField",
            f'field = DeformableGaussianField.load("{header.files[0]}")',
            "field.render(cameras, times)  # or: diff4splat render, export, inspect",
        )
        home = "diff4splat.gaussians:DeformableGaussianField"
        return WeightsIdentity("scene of diff4splat", "native 4D asset", None, home, code)
    folder = header.path if header.path.is_dir() else header.path.parent
    name = ""
    if (folder / "config.json").is_file():
        name = str(read_config(folder).get("_class", ""))
    if name in _OWN_CLASSES:
        home = _OWN_CLASSES[name]
        code = (f"from {home} import {name}", f'module = {name}.from_pretrained("{folder}")')
        problems = _differences_from_config(folder, home, name, header)
        title = f"{name} of diff4splat"
        return WeightsIdentity(title, "module of diff4splat", None, f"{home}:{name}", code, tuple(problems))
    for name, telling in _OWN_NAMES.items():
        if all(key in header.tensors for key in telling):
            problem = "it has no config.json beside it, without which its sizes are not known: get that too"
            home = f"{_OWN_CLASSES[name]}:{name}"
            return WeightsIdentity(
                f"{name} of diff4splat", "module of diff4splat", None, home, (), (problem,)
            )
    return None


def _differences_from_config(folder: Path, home: str, name: str, header: WeightsHeader) -> list[str]:
    import torch

    config = {key: value for key, value in read_config(folder).items() if not key.startswith("_")}
    try:
        with torch.device("meta"):
            module = getattr(import_module(home), name)(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        return [f"its config.json does not build a {name}: {error}"]
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    return _compare(expected, {key: info.shape for key, info in header.tensors.items()})


def _lora(path: Path, shapes: Mapping[str, _Shape]) -> WeightsIdentity:
    down = {name: shape for name, shape in shapes.items() if "lora_A" in name or "down" in name}
    ranks = sorted({shape[0] for shape in down.values()}) or [0]
    widths = sorted({shape[1] for shape in down.values() if len(shape) == 2})
    cog = any("transformer_blocks" in name for name in shapes)
    base = {
        1536: "Wan 1.3B",
        1920: "CogVideoX-2b",
        3072: "CogVideoX-5b" if cog else "Wan2.2 5B",
        5120: "Wan 14B",
    }
    found = next((name for width, name in base.items() if width in widths), "an unknown model")
    rank = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    code = (
        "# needs: pip install peft",
        f'backbone.transformer.load_lora_adapter("{path}")',
    )
    title = f"LoRA of rank {rank} for {found}, {len(down)} layers"
    return WeightsIdentity(title, "low-rank changes of another model", None, "", code)


def _without_prefix(shapes: Mapping[str, _Shape]) -> tuple[str, dict[str, _Shape]]:
    for prefix in _PREFIXES:
        if shapes and all(name.startswith(prefix) for name in shapes):
            return prefix, {name[len(prefix) :]: shape for name, shape in shapes.items()}
    return "", dict(shapes)


def _fit(name: str, shapes: Mapping[str, _Shape], *, part: bool) -> _Fit:
    """How much of a file a layout explains, and of the layout the file unless that is a part of a model."""
    layout = LAYOUTS[name]
    sizes, num_blocks, options = layout.read_sizes(shapes)
    known = defaultdict(lambda: -1, sizes)  # a tensor that tells a size may be missing
    expected = layout.expand(known, max(num_blocks, 1), options=options)
    shared = sum(key in shapes and len(shapes[key]) == len(shape) for key, shape in expected.items())
    explained = shared / max(len(shapes), 1) if layout.complete else 1.0
    share = explained if part and layout.complete else min(explained, shared / len(expected))
    return _Fit(name, layout, sizes, num_blocks, options, share)


def _nearest(fit: _Fit, path: Path) -> Variant | None:
    """The published weights of this layout whose sizes, or all but one, are those of the file."""
    best: tuple[float, Variant] | None = None
    for variant in VARIANTS:
        if variant.layout != fit.name:
            continue
        # A word that no tensor of the file tells may be right: the tensor is missing.
        wrong = [word for word, size in variant.sizes.items() if fit.sizes.get(word, size) != size]
        if len(wrong) > 1 or "dim" in wrong:
            continue
        blocks = abs(variant.num_blocks - fit.num_blocks) if fit.num_blocks else 0
        distance = len(wrong) + 0.5 * len(set(variant.options) ^ set(fit.options)) + 0.01 * blocks
        if variant.title.lower() in path.as_posix().lower():
            distance -= 0.25
        if best is None or distance < best[0]:
            best = (distance, variant)
    return None if best is None else best[1]


def _differences(
    layout: Layout,
    sizes: Mapping[str, int],
    num_blocks: int,
    options: Sequence[str],
    shapes: Mapping[str, _Shape],
    num_tensors: int | None = None,
) -> list[str]:
    expected = layout.expand(sizes, max(num_blocks, 1), options=tuple(options))
    if layout.complete:
        return _compare(expected, shapes)
    problems = _compare(expected, {name: shape for name, shape in shapes.items() if name in expected})
    if num_tensors is not None and len(shapes) != num_tensors and not problems:
        problems.append(f"it has {len(shapes)} tensors instead of {num_tensors}")
    return problems


def _compare(expected: Mapping[str, _Shape], shapes: Mapping[str, _Shape]) -> list[str]:
    """One sentence each for tensors that lack, that are too many, and that have other shapes."""
    problems = []
    missing = [name for name in expected if name not in shapes]
    if missing:
        problems.append(f"lacks {len(missing):,} of {len(expected):,} tensors: {_some(missing)}")
    extra = [name for name in shapes if name not in expected]
    if extra:
        problems.append(f"has {len(extra):,} more than belong there: {_some(extra)}")
    other = [name for name in expected if name in shapes and tuple(shapes[name]) != expected[name]]
    if other:
        first = other[0]
        problems.append(
            f"{len(other):,} of {len(expected):,} tensors have another shape, such as {first}: expected "
            f"{expected[first]}, got {tuple(shapes[first])}"
        )
    return problems


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
