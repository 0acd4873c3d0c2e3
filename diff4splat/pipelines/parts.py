"""The parts of a pipeline on disk: weights in its folder, or references to where they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from diff4splat.backbones import (
    LatentSpec,
    PretrainedReference,
    VideoBackbone,
    get_backbone,
    list_backbones,
)
from diff4splat.catalog.registry import find_model
from diff4splat.hub import list_bundled, weights_hash
from diff4splat.hub.factories import call_factory
from diff4splat.pipelines.config import CONFIG_NAME, reference_to_config
from diff4splat.pipelines.decoded import DecodedReconstructor
from diff4splat.pipelines.reconstructor import Reconstructor

__all__ = ["check_fit", "load_parts", "provenance_of", "reference_of", "save_part"]

BACKBONE, LDRM, CAMERA_ADAPTER = "backbone", "ldrm", "camera_adapter"
"""Folders of a pipeline that hold weights."""

_RECONSTRUCTORS = {
    "ldrm": "diff4splat.models:LDRM.from_pretrained",
    "movies": "diff4splat.models.movies:MoVieSReconstructor.from_pretrained",
}
_READ_FRAMES = ("movies",)


@runtime_checkable
class _Saveable(Protocol):
    def save_pretrained(
        self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None
    ) -> None: ...


@runtime_checkable
class _ReadsLatents(Protocol):
    """The attributes by which an LDRM says which latents it reads."""

    latent_channels: int
    temporal_stride: int
    spatial_stride: int
    frame_multiple: int
    patch_size: int
    feature_channels: int


def load_parts(
    folder: Path, config: Mapping[str, Any], *, local_files_only: bool = False
) -> tuple[VideoBackbone, Reconstructor]:
    """Backbone and reconstructor of a pipeline.

    Args:
        folder: Folder of the pipeline.
        config: Its configuration, as `read_pipeline_config` returns it.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The backbone, and the reconstructor for its latents.

    Raises:
        FileNotFoundError: If a part is not where the configuration says.
        ValueError: If a kind or an option is unknown, or the weights do not fit.
    """
    path = folder / CONFIG_NAME
    backbone, reconstructor = config["backbone"], config.get("reconstructor")
    kind = backbone if isinstance(backbone, str) else backbone.kind
    for name, got, known in (
        ("backbone", kind, list_backbones()),
        ("reconstructor", "ldrm" if reconstructor is None else reconstructor.kind, sorted(_RECONSTRUCTORS)),
    ):
        if got not in known:
            raise ValueError(f"{path}: {name} must be one of {known}, got {got!r}.")
    sources = {
        part: _options(reference, folder, part, local_files_only)
        for part, reference in (("backbone", backbone), ("reconstructor", reconstructor))
        if isinstance(reference, PretrainedReference)
    }
    adapter = {"camera_adapter": folder / CAMERA_ADAPTER} if (folder / CAMERA_ADAPTER).is_dir() else {}
    try:
        if reconstructor is None:
            rebuild = call_factory(_RECONSTRUCTORS["ldrm"], {"name_or_path": folder / LDRM}, name="ldrm")
        else:
            where, name = _RECONSTRUCTORS[reconstructor.kind], f"reconstructor {reconstructor.kind!r}"
            rebuild = call_factory(where, sources["reconstructor"], name=name)
            _remember(rebuild, reconstructor, sources["reconstructor"])
        if isinstance(backbone, str):
            generate = get_backbone(backbone, name_or_path=folder / BACKBONE, **adapter)
        else:
            generate = get_backbone(backbone.kind, **sources["backbone"], **adapter)
            _remember(generate, backbone, sources["backbone"])
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error
    reads_frames = reconstructor is not None and reconstructor.kind in _READ_FRAMES
    return generate, DecodedReconstructor(generate, rebuild) if reads_frames else rebuild


def save_part(
    part: object, folder: Path, name: str, *, dtype: torch.dtype | None = None, weights: bool = False
) -> dict[str, Any] | None:
    """Write the weights of a part, or say where they are.

    Args:
        part: Backbone or reconstructor.
        folder: Folder of the pipeline.
        name: Folder in it for the weights.
        dtype: Storage type of the weights; the one they have when omitted.
        weights: Whether to write the weights even of a part that could be referred to.

    Returns:
        Words for the configuration where the part was loaded from elsewhere; None where its weights were
        written.

    Raises:
        TypeError: If the part can neither be saved nor found again.
    """
    reference = None if weights else reference_of(part)
    if reference is not None:
        adapter = getattr(part, CAMERA_ADAPTER, None)
        if isinstance(adapter, _Saveable):
            adapter.save_pretrained(folder / CAMERA_ADAPTER, dtype=dtype)
        return reference_to_config(reference, folder)
    if not isinstance(part, _Saveable):
        raise TypeError(
            f"{name} must have save_pretrained, or a reference, to be saved, got {type(part).__name__}."
        )
    part.save_pretrained(folder / name, dtype=dtype)
    return None


def reference_of(part: object) -> PretrainedReference | None:
    """Where a part was loaded from.

    Args:
        part: Backbone or reconstructor.

    Returns:
        Its `reference`, or None where it has none.
    """
    reference = getattr(part, "reference", None)
    return reference if isinstance(reference, PretrainedReference) else None


def check_fit(spec: LatentSpec, reconstructor: object, *, height: int, width: int) -> None:
    """Refuse an LDRM that reads other latents than the backbone gives, before either is run.

    Args:
        spec: Latents of the backbone.
        reconstructor: An LDRM; another reconstructor passes.
        height: Height of the clip, pixels.
        width: Width of the clip, pixels.

    Raises:
        ValueError: If channels, strides, frame rule or patches do not fit, or the LDRM reads features too.
    """
    if not isinstance(reconstructor, _ReadsLatents):
        return
    for name, expected, got in (
        ("latent_channels", spec.channels, reconstructor.latent_channels),
        ("temporal_stride", spec.temporal_stride, reconstructor.temporal_stride),
        ("spatial_stride", spec.spatial_stride, reconstructor.spatial_stride),
        ("feature_channels", 0, reconstructor.feature_channels),
    ):
        if got != expected:
            raise ValueError(
                f"ldrm must have {name}={expected} to read the latents of this backbone, got {got}."
            )
    if spec.frame_step % reconstructor.frame_multiple:
        raise ValueError(
            f"ldrm must take the clips of this backbone, {spec.frame_step}k+1 frames, got one for "
            f"{reconstructor.frame_multiple}k+1."
        )
    side = reconstructor.spatial_stride * reconstructor.patch_size
    for name, size in (("height", height), ("width", width)):
        if size % side:
            raise ValueError(f"{name} must be a multiple of {side} pixels for this ldrm, got {size}.")


def provenance_of(
    name_or_path: str | os.PathLike[str], folder: Path, *parts: tuple[str, object]
) -> dict[str, Any]:
    """Where a loaded pipeline comes from, for the metadata of its scenes.

    Args:
        name_or_path: What the user asked for.
        folder: Where it was found.
        *parts: Names and parts; those with a reference are listed with repository and revision.

    Returns:
        JSON values: `model`; `weights_sha256` of the weights in the folder, where there are any; the
        references; and `model_licence`, where those of all its weights are known.
    """
    given = os.fspath(name_or_path)
    # The name of a folder is enough: the path to it is the user's own business.
    name = folder.resolve().name if Path(given).is_dir() and given not in list_bundled() else given
    provenance: dict[str, Any] = {"model": name}
    sources = []
    if any(folder.rglob("[!.]*.safetensors")):
        provenance["weights_sha256"] = weights_hash(folder)
        sources.append(given if given in list_bundled() else "")
    for part_name, part in parts:
        reference = reference_of(part)
        if reference is not None:
            source = Path(reference.repository)
            repository = source.resolve().name if source.exists() else reference.repository
            provenance[part_name] = {
                "kind": reference.kind,
                "repository": repository,
                "revision": reference.revision,
            }
            sources.append(reference.repository)
    entries = [find_model(source) for source in sources]
    licences = dict.fromkeys(entry.licence for entry in entries if entry is not None)
    if licences and None not in entries:
        provenance["model_licence"] = " and ".join(licences)
    return provenance


def _options(
    reference: PretrainedReference, folder: Path, part: str, local_files_only: bool
) -> dict[str, Any]:
    """Keyword arguments of the factory; folders are counted from that of the pipeline."""
    options = {"name_or_path": reference.repository, **reference.options}
    for name, value in options.items():
        if name == "negative_prompt" or not isinstance(value, str):
            continue
        if not (value.startswith((".", "~")) or Path(value).is_absolute()):
            continue
        options[name] = os.path.normpath(folder / Path(value).expanduser())
        if not os.path.exists(options[name]):
            raise FileNotFoundError(
                f"{folder / CONFIG_NAME}: {part} must lie at {value}, got nothing at {options[name]}."
            )
    return {**options, "revision": reference.revision, "local_files_only": local_files_only}


def _remember(part: Any, reference: PretrainedReference, options: Mapping[str, Any]) -> None:
    """Leave at a part what loads it again: the commit where it knows that, and folders that can be found."""
    found = reference_of(part)
    revision = reference.revision if found is None or found.revision is None else found.revision
    own = {} if found is None else found.options
    given = {name: options[name] for name in reference.options}
    part.reference = PretrainedReference(reference.kind, options["name_or_path"], revision, {**own, **given})
