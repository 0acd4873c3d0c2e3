"""A training run in a few small files: taken off a machine that is given back, and put down on another one.

Floats are stored in two bytes: weights and their averages in float16, what optimisers keep in bfloat16, whose
range is larger. So a run that goes on from a parcel is not bit for bit the one that was stopped.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diff4splat import Diff4SplatPipeline
from diff4splat.files import atomic_path, read_safetensors, write_safetensors
from diff4splat.training import PARTS, Checkpoint, Checkpoints, Recipe

SHARD_MIB, PARCEL_MIB = 15.8, 62.0
AVERAGE, REST_OF_CHECKPOINT = "average", ("weights", "optimizer")
TEXTS = "texts"
MIB = 2**20
Groups = dict[str, dict[str, Tensor]]


def stages_of(run: Path) -> list[Path]:
    """Folders of the stages that were begun, in order."""
    return sorted((run / "stages").glob("*-*"), key=lambda folder: int(folder.name.partition("-")[0]))


def weights_of(stage: Path) -> Groups:
    """Weights of a finished stage by part; of another "average", "weights", "optimizer" of its checkpoint."""
    if (stage / "done.json").is_file():
        files = {part: stage / part / "model.safetensors" for part in PARTS}
        return {part: read_safetensors(path) for part, path in files.items() if path.is_file()}
    checkpoint = Checkpoints(stage / "checkpoints").load()
    if checkpoint is None:
        return {}
    return {name: dict(getattr(checkpoint, name)) for name in (AVERAGE, *REST_OF_CHECKPOINT)}


def pack(run: Path, target: Path) -> str:
    """Write run-0.safetensors, run-1.safetensors, ... in place of those that lie there.

    Args:
        run: Folder of a run of `diff4splat.training.train`.
        target: Folder that is there.

    Returns:
        What the parcel holds, in words.
    """
    content: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    for stage in stages_of(run):
        states = [path / "state.json" for path in Checkpoints(stage / "checkpoints").all()[-1:]]
        for path in (run / "recipe.json", stage / "done.json", *stage.glob("*.jsonl"), *states):
            if path.is_file():
                texts[path.relative_to(run).as_posix()] = path.read_text(encoding="utf-8")
        for group, tensors in weights_of(stage).items():
            short = torch.bfloat16 if group == "optimizer" else torch.float16
            for name, value in tensors.items():
                is_large = value.is_floating_point() and value.numel() > 1
                content[f"{stage.name}/{group}/{name}"] = value.to(short) if is_large else value
    if not content:
        return "nothing, for there is no checkpoint yet"
    what = "all that the run needs to go on"
    if _bytes(content) > PARCEL_MIB * MIB:
        what = "averaged weights, but no checkpoint, which does not fit: the stage under way would begin anew"
        content = {n: v for n, v in content.items() if n.split("/")[1] not in REST_OF_CHECKPOINT}
        texts = {name: text for name, text in texts.items() if not name.endswith("state.json")}
    for old in target.glob("run-*.safetensors"):
        old.unlink()
    content[TEXTS] = torch.tensor(list(json.dumps(texts).encode()), dtype=torch.uint8)
    shards = _split(content)
    for number, shard in enumerate(shards):
        write_safetensors(target / f"run-{number}.safetensors", shard)
    return f"{len(shards)} files of {_bytes(content) / MIB:.1f} MiB together: {what}"


def unpack(source: Path, run: Path) -> None:
    """Put a run down again, as far as its parcel goes; whole or not at all.

    Args:
        source: Folder with the files that `pack` wrote.
        run: Folder of the run; what lies there is replaced.

    Raises:
        FileNotFoundError: If there is no parcel.
    """
    paths = sorted(source.glob("run-*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"{source} must hold run-0.safetensors, ..., got none.")
    whole, run = run, run.with_name(f"{run.name}.part")
    shutil.rmtree(run, ignore_errors=True)
    stages: dict[str, Groups] = {}
    for path in paths:
        for name, value in read_safetensors(path).items():
            if name == TEXTS:
                texts: dict[str, str] = json.loads(bytes(value.tolist()))
                continue
            stage, group, weight = name.split("/", 2)
            wide = value.float() if value.is_floating_point() else value
            stages.setdefault(stage, {}).setdefault(group, {})[weight] = wide
    states = {name: texts.pop(name) for name in list(texts) if name.endswith("state.json")}
    for name, text in texts.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(run / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    modules = _modules(first_pipeline(run))
    for stage, groups in stages.items():
        for part in groups.keys() & modules.keys():
            modules[part].load_state_dict(groups[part])
            modules[part].save_pretrained(run / "stages" / stage / part)
    for name, text in states.items():
        stage = Path(name).parts[1]
        if AVERAGE in stages.get(stage, {}):
            tensors: dict[str, Any] = {n: stages[stage].get(n, {}) for n in (AVERAGE, *REST_OF_CHECKPOINT)}
            Checkpoints(run / "stages" / stage / "checkpoints").save(
                Checkpoint(**json.loads(text), **tensors)
            )
    shutil.rmtree(whole, ignore_errors=True)
    run.rename(whole)


def first_pipeline(run: Path) -> Diff4SplatPipeline:
    """The pipeline that a run began with."""
    initial = Recipe.load(run / "recipe.json").initial
    if initial is None:
        raise ValueError("the recipe must name the model to start from (initial), got none.")
    return Diff4SplatPipeline.from_pretrained(initial)


def pipeline_so_far(run: Path) -> Diff4SplatPipeline:
    """The pipeline that a run began with, with the averaged weights of what was trained since."""
    pipe = first_pipeline(run)
    modules = _modules(pipe)
    for stage in stages_of(run):
        groups = weights_of(stage)
        for part in groups.keys() & modules.keys():
            modules[part].load_state_dict(groups[part])
        for name, value in groups.get(AVERAGE, {}).items():
            part, _, weight = name.partition(".")
            modules[part].state_dict()[weight].copy_(value)
    return pipe


def _modules(pipe: Any) -> dict[str, Any]:
    return {"vae": pipe.backbone.vae, "dit": pipe.backbone.dit, "ldrm": pipe.ldrm}


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.nbytes for value in tensors.values())


def _split(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Parts below the size of a file; a tensor that is larger has one for itself."""
    shards: list[dict[str, Tensor]] = []
    for name, value in tensors.items():
        if not shards or _bytes(shards[-1]) + value.nbytes > SHARD_MIB * MIB:
            shards.append({})
        shards[-1][name] = value
    return shards
