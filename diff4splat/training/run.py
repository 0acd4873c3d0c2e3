"""A whole training run: the stages of a recipe one after another, to a pipeline in a folder."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.data import ClipDataset, ShardClips
from diff4splat.files import atomic_path
from diff4splat.hub import HubModule, weights_hash
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.training.as_json import to_json
from diff4splat.training.batches import Batches
from diff4splat.training.clip_factory import ClipFactory
from diff4splat.training.objective import Objective
from diff4splat.training.pictures import stage_picture
from diff4splat.training.recipe import PARTS, Recipe, Source, Stage
from diff4splat.training.report import write_report
from diff4splat.training.trainer import Watch, make_accelerator, train_stage

__all__ = ["train"]

_RECIPE, _DONE = "recipe.json", "done.json"
_STATISTICS_BATCHES = 32


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    cache: str | Path = "cache",
    num_workers: int = 1,
    watch: Watch | None = None,
    until: str | None = None,
    max_bad_share: float = 0.05,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    cpu: bool = False,
) -> Path:
    """Run the stages of a recipe, those that are done already left out, and write the pipeline.

    The same call in every process of `accelerate launch` trains on all of them.

    Args:
        recipe: Stages.
        folder: Folder of the run; an existing one of the same recipe is continued.
        cache: Where procedural clips are kept; runs may share it.
        num_workers: Processes that make procedural clips ahead; 0 makes them in this one when they are needed.
        watch: What is written and shown; `Watch()` with a picture every 200 steps when omitted.
        until: Name of the last stage to run; all of them when omitted.
        max_bad_share: Share of bad clips from which on the run ends.
        perceptual: Perceptual distance of the loss of that name, see `PhotometricLoss`.
        cpu: Leave GPUs alone.

    Returns:
        Folder that `Diff4SplatPipeline.from_pretrained` reads; beside it lies report.md.

    Raises:
        ValueError: If the folder holds a run of another recipe, `until` names no stage, a stage cannot be run
            on the parts there are, a loss is not finite, or too many clips are bad.
        OSError: If a checkpoint cannot be written; the one before stays.
        ModuleNotFoundError: If accelerate is not installed.
    """
    folder, cache = Path(folder), Path(cache)
    names = [stage.name for stage in recipe.stages]
    if until is not None and until not in names:
        raise ValueError(f"until must be one of {', '.join(names)}, got {until!r}.")
    stages = recipe.stages if until is None else recipe.stages[: names.index(until) + 1]
    _check_recipe(recipe, folder / _RECIPE)
    accelerator = make_accelerator(recipe.precision, cpu=cpu)
    watch = watch or Watch(picture_every=200, picture=stage_picture)
    folder.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        recipe.save(folder / _RECIPE)
    pipeline = _first_pipeline(recipe)
    parts = _parts(pipeline)
    for stage in stages:
        _check_parts(stage, parts)
    for number, stage in enumerate(stages, start=1):
        target = folder / "stages" / f"{number}-{stage.name}"
        if not (target / _DONE).is_file():
            _run_stage(
                stage,
                parts,
                target,
                recipe.seed,
                accelerator,
                cache,
                num_workers,
                watch,
                max_bad_share,
                perceptual,
            )
        _load_stage(stage, parts, target)
    model = folder / "model"
    if accelerator.is_main_process:
        last = stages[-1]
        pipeline.num_frames, pipeline.height, pipeline.width = last.frames, last.size, last.size
        pipeline.save_pretrained(model)
        write_report(folder, recipe, [f"{i}-{s.name}" for i, s in enumerate(stages, start=1)])
    accelerator.wait_for_everyone()
    return model


def _run_stage(
    stage: Stage,
    parts: dict[str, nn.Module],
    folder: Path,
    seed: int,
    accelerator: Any,
    cache: Path,
    num_workers: int,
    watch: Watch,
    max_bad_share: float,
    perceptual: Any,
) -> None:
    used = {name for name in PARTS if name in stage.train}
    used |= {"ldrm"} if stage.reconstructs else set()
    used |= {"dit"} if stage.denoises else set()
    used |= {"vae"}  # encodes clips that come without latents, and decodes for pictures
    for name in stage.train:
        parts[name].float()  # weights that were kept in half precision are not trained in it
    objective = Objective({name: parts[name] for name in used if name in parts}, stage, perceptual=perceptual)
    with contextlib.ExitStack() as stack:
        encoder = _encoder_folder(stage, parts, folder, accelerator)
        sources = [
            (_dataset(source, stage, cache, encoder, num_workers, accelerator, stack), source.share)
            for source in stage.data
        ]
        encoded = encoder is not None and all(source.folder is None for source in stage.data)
        batches = Batches(
            sources,
            stage.batch,
            seed=seed,
            needs=(*stage.needs, *(("latents",) if encoded else ())),
            rank=accelerator.process_index,
            num_ranks=accelerator.num_processes,
            max_bad_share=max_bad_share,
            bad_log=folder / "bad_clips.jsonl",
        )
        average = train_stage(objective, batches, stage, folder, accelerator, seed=seed, watch=watch)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            _put(objective, average)
            if "vae" in stage.train:
                _normalize(parts["vae"], batches)
            for name in stage.train:
                parts[name].to("cpu").save_pretrained(folder / name)
            with atomic_path(folder / _DONE) as temporary:
                temporary.write_text(
                    json.dumps({"bad_clips": batches.num_bad, "clips": batches.num_seen}) + "\n"
                )
        accelerator.wait_for_everyone()
    accelerator.free_memory()


def _dataset(
    source: Source,
    stage: Stage,
    cache: Path,
    encoder: Path | None,
    num_workers: int,
    accelerator: Any,
    stack: contextlib.ExitStack,
) -> ClipDataset:
    if source.folder is not None:
        return ShardClips(source.folder)
    words = [f"{stage.frames}x{stage.size}", "static" if source.static else "moving"]
    words += ["photographs"] if source.photographs else []
    words += [f"still{source.still_camera:g}"]
    words += [weights_hash(encoder)[:8]] if encoder is not None else []
    return stack.enter_context(
        ClipFactory(
            cache / "-".join(words),
            source.clips,
            num_frames=stage.frames,
            height=stage.size,
            width=stage.size,
            static=source.static,
            photographs=source.photographs,
            still_camera=source.still_camera,
            vae=encoder,
            num_workers=num_workers,
            make=accelerator.is_local_main_process,
        )
    )


def _encoder_folder(stage: Stage, parts: dict[str, nn.Module], folder: Path, accelerator: Any) -> Path | None:
    """Folder of the autoencoder whose latents a stage reads, for the processes that make clips."""
    if stage.train == ("vae",) or not isinstance(parts.get("vae"), HubModule):
        return None
    target = folder / "encoder"
    if accelerator.is_main_process:
        parts["vae"].save_pretrained(target)
    accelerator.wait_for_everyone()
    return target


@torch.no_grad()
def _normalize(vae: Any, batches: Batches) -> None:
    """Measure the statistics that latents are normalised by."""
    vae.eval()
    device = vae.latent_mean.device
    means = []
    for (clips, _), _ in zip(batches.from_step(0), range(_STATISTICS_BATCHES), strict=False):
        means.append(vae.posterior(clips["video"].to(device).float() / 255)[0])
    together = torch.cat(means)
    vae.set_normalization(together.mean(dim=(0, 1, 3, 4)), together.std(dim=(0, 1, 3, 4)))


def _first_pipeline(recipe: Recipe) -> Diff4SplatPipeline:
    if recipe.initial is not None:
        return Diff4SplatPipeline.from_pretrained(recipe.initial)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = CompactBackbone(CausalVideoVAE(), CompactDiT())
        return Diff4SplatPipeline(backbone, LDRM.compact(**recipe.ldrm))


def _parts(pipeline: Diff4SplatPipeline) -> dict[str, nn.Module]:
    found = {
        "vae": getattr(pipeline.backbone, "vae", None),
        "dit": getattr(pipeline.backbone, "dit", None),
        "ldrm": pipeline.ldrm,
    }
    return {name: part for name, part in found.items() if isinstance(part, nn.Module)}


def _check_parts(stage: Stage, parts: dict[str, nn.Module]) -> None:
    for name in stage.train:
        if name not in parts:
            raise ValueError(
                f"stage {stage.name!r}: train names {name!r}, the pipeline has {', '.join(parts)}."
            )
    Objective(parts, stage, perceptual=lambda image, target: image)  # checks the names to freeze


def _put(objective: nn.Module, weights: dict[str, Tensor]) -> None:
    named = dict(objective.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            named[name].copy_(value)


def _load_stage(stage: Stage, parts: dict[str, nn.Module], folder: Path) -> None:
    """Weights that a stage ended with, on every process."""
    for name in stage.train:
        part = parts[name]
        trained = type(part).from_pretrained(folder / name)
        part.to("cpu").load_state_dict(trained.state_dict())


def _check_recipe(recipe: Recipe, path: Path) -> None:
    """Refuse to go on with another recipe; more steps at the end or another seed would be another run."""
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(to_json(recipe)))
    for where, old, new in _differences(before, now):
        raise ValueError(
            f"{path.parent} holds a run with {where}={old!r}, this recipe says {new!r}: choose another folder."
        )


def _differences(before: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, pair in enumerate(zip(before, now, strict=True)):
            yield from _differences(*pair, f"{where}[{index}]")
    elif before != now:
        yield where, before, now
