"""What `diff4splat inspect` says about weights."""

import json
from pathlib import Path

from diff4splat.catalog.identify import identify
from diff4splat.cli.console import size_in_words
from diff4splat.hub import WeightsHeader, read_safetensors_header

__all__ = ["weights_report"]

_INDICES = ("pipeline_config.json", "model_index.json")


def weights_report(path: Path) -> str:
    """What weights are, in lines for people.

    Args:
        path: A file, an index of shards, or a folder: of one model, of a pipeline, or of a repository of
            diffusers.

    Returns:
        Several lines.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If they cannot be read; says what the file is instead.
    """
    index = next((path / name for name in _INDICES if (path / name).is_file()), None)
    if index is None:
        return _one(read_safetensors_header(path))
    folders = sorted({file.parent for file in path.rglob("[!.]*.safetensors")})
    lines = ["", _whole(index)]
    for folder in folders:
        name = folder.relative_to(path).as_posix()
        try:
            header = read_safetensors_header(folder)
        except ValueError as error:
            lines.append(f"  {name:<20}  {error}")
            continue
        identity = identify(header)
        lines.append(f"  {name:<20}  {identity.title}, {_count(header.num_parameters)} parameters")
        lines += [f"  {'':<20}  but: {problem}" for problem in identity.problems]
    if not folders:
        lines.append("  no weights of its own: they are taken from where its configuration says")
    if index.name == _INDICES[0]:
        lines += ["", "  from diff4splat import Diff4SplatPipeline"]
        lines += [f'  pipe = Diff4SplatPipeline.from_pretrained("{path}")']
    return "\n".join(lines)


def _whole(index: Path) -> str:
    """One line about a folder with several parts."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        config = content if isinstance(content, dict) else {}
    except ValueError as error:
        raise ValueError(f"{index} is not valid JSON: {error}.") from error
    if index.name == "model_index.json":
        return f"repository of diffusers, {config.get('_class_name', 'without a class')}"
    sources = []
    for part in ("backbone", "reconstructor"):
        value = config.get(part)
        if isinstance(value, dict):
            sources.append(f"{part} {value.get('kind')} from {value.get('repository')}")
        elif value is not None:
            sources.append(f"{part} {value}")
    return f"pipeline of diff4splat, {', '.join(sources)}"


def _one(header: WeightsHeader) -> str:
    """Everything about the weights of one model."""
    identity = identify(header)
    types = header.dtypes
    held = ", ".join(
        f"{name} {100 * count / max(header.num_parameters, 1):.0f} %" for name, count in types.items()
    )
    facts = [
        ("is", f"looks like {identity.title}, but is not quite" if identity.problems else identity.title),
        ("names", identity.layout),
        ("parameters", f"{_count(header.num_parameters)} in {len(header.tensors):,} tensors"),
        ("types", held),
        (
            "size",
            size_in_words(header.num_bytes)
            + (f" in {len(header.files)} files" if len(header.files) > 1 else ""),
        ),
        ("loaded by", identity.loader.replace(":", ".") or "no class that is known here"),
        ("runs as", f"{identity.model}, see diff4splat models {identity.model}" if identity.model else ""),
        *(("metadata", f"{key}: {value[:80]}") for key, value in sorted(header.metadata.items())),
    ]
    lines = ["", *(f"  {name:<10}  {value}" for name, value in facts if value)]
    lines += [f"  {'but':<10}  {problem}" for problem in identity.problems]
    if identity.code:
        lines += ["", *(f"  {line}" for line in identity.code)]
    return "\n".join(lines)


def _count(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.2f} B"
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count:,}"
