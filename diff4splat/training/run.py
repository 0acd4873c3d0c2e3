"""A whole training run: the stages of a recipe one after another, to a pipeline in a folder."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.data import ClipDataset, ShardClips
from diff4splat.data.procedural.clips import GENERATOR_VERSION
from diff4splat.files import atomic_path, folder_lock
from diff4splat.hub import HubModule, weights_hash
from diff4splat.losses import LpipsDistance
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.training.as_json import to_json
from diff4splat.training.batches import Batches
from diff4splat.training.clip_factory import ClipFactory
from diff4splat.training.model_card import read_run, write_model_card
from diff4splat.training.objective import Objective
from diff4splat.training.pictures import stage_picture
from diff4splat.training.recipe import Recipe, Source, Stage
from diff4splat.training.report import write_report
from diff4splat.training.sources import check_forms, open_folder
from diff4splat.training.trainer import make_accelerator, train_stage
from diff4splat.training.watch import Watch

__all__ = ["train"]

_RECIPE, _DONE, _MODEL = "recipe.json", "done.json", "model"
_STATISTICS_BATCHES = 32
_BUDGET = 100_000  # Gaussians
_CAMERA_GUIDANCE = 1.5


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
        num_workers: Processes that make procedural clips ahead; 0 makes them here when they are needed, where
            there is one process to train.
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
        FileNotFoundError: If the model to start from, or the weights of LPIPS, are not there.
        ModuleNotFoundError: If accelerate is not installed.
    """
    names = [stage.name for stage in recipe.stages]
    if until is not None and until not in names:
        raise ValueError(f"until must be one of {', '.join(names)}, got {until!r}.")
    stages = recipe.stages if until is None else recipe.stages[: names.index(until) + 1]
    folder = Path(folder)
    _check_recipe(recipe, folder / _RECIPE)
    accelerator = make_accelerator(recipe.precision, cpu=cpu)
    pipeline = _first_pipeline(recipe)
    if perceptual is None and any("perceptual" in stage.losses for stage in stages):
        perceptual = LpipsDistance().to(accelerator.device)
    run = _Run(
        pipeline=pipeline,
        accelerator=accelerator,
        seed=recipe.seed,
        cache=Path(cache),
        num_workers=num_workers,
        watch=watch or Watch(picture_every=200, picture=stage_picture),
        max_bad_share=max_bad_share,
        perceptual=perceptual,
    )
    for stage in stages:
        run.check(stage)
    main = accelerator.is_main_process
    if main:
        folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder) if main else contextlib.nullcontext():
        if main:
            recipe.save(folder / _RECIPE)
        accelerator.wait_for_everyone()
        folders = [folder / "stages" / f"{i}-{stage.name}" for i, stage in enumerate(stages, start=1)]
        for stage, target in zip(stages, folders, strict=True):
            if not (target / _DONE).is_file():
                run.train(stage, target)
            run.load(stage, target)
        if main:
            _write_model(run, recipe, stages, folders, folder)
        accelerator.wait_for_everyone()
    return folder / _MODEL


@dataclass(frozen=True)
class _Run:
    """What all stages of a run share."""

    pipeline: Diff4SplatPipeline
    accelerator: Any
    seed: int
    cache: Path
    num_workers: int
    watch: Watch
    max_bad_share: float
    perceptual: Callable[[Tensor, Tensor], Tensor] | None
    opened: dict[tuple[Source, str], list[tuple[ClipDataset, float]]] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Any]:
        """Modules of the pipeline by name."""
        found = {name: getattr(self.pipeline.backbone, name, None) for name in ("vae", "dit")}
        found["ldrm"] = self.pipeline.ldrm
        return {name: part for name, part in found.items() if isinstance(part, HubModule)}

    def check(self, stage: Stage) -> None:
        """Refuse a stage that cannot be run on the parts there are."""
        for name in stage.train:
            if name not in self.parts:
                raise ValueError(
                    f"stage {stage.name!r}: train names {name!r}, the pipeline has {', '.join(self.parts)}."
                )
        Objective(self.parts, stage, perceptual=lambda image, target: image)  # checks the names to freeze
        try:
            folders = [self._open(source, stage) for source in stage.data if source.folder is not None]
            check_forms(stage, [clips for parts in folders for clips, _ in parts])
        except ValueError as error:
            raise ValueError(f"stage {stage.name!r}: {error}") from None
        if any(source.photographs for source in stage.data) and find_spec("skimage") is None:
            raise ModuleNotFoundError(
                f'stage {stage.name!r}: photographs need scikit-image: pip install "diff4splat[data]".'
            )

    def train(self, stage: Stage, folder: Path) -> None:
        """Run a stage, and write what it trained."""
        parts, accelerator = self.parts, self.accelerator
        for name in stage.train:
            parts[name].float()  # weights that were kept in half precision are not trained in it
        objective = Objective(
            {name: part for name, part in parts.items() if name in stage.parts},
            stage,
            encode=self.pipeline.backbone.encode,
            perceptual=self.perceptual,
        )
        with contextlib.ExitStack() as stack:
            batches = self._batches(stage, folder, stack)
            weights = train_stage(
                objective, batches, stage, folder, accelerator, seed=self.seed, watch=self.watch
            )
            batches.check_bad_share()
            if accelerator.is_main_process:
                for name in stage.train:
                    trained = type(parts[name])(**parts[name].config)
                    trained.load_state_dict(_under(name, weights))
                    if isinstance(trained, CausalVideoVAE) and "vae.encoder" not in stage.freeze:
                        _normalize(trained, batches)
                    trained.save_pretrained(folder / name)
                counts = {"clips": batches.num_seen, "bad_clips": batches.num_bad}
                with atomic_path(folder / _DONE) as temporary:
                    temporary.write_text(json.dumps(counts) + "\n", encoding="utf-8")
            accelerator.wait_for_everyone()
        accelerator.free_memory()

    def load(self, stage: Stage, folder: Path) -> None:
        """Put what a stage trained in the place of what it began with; sharding may have changed that."""
        for name in stage.train:
            trained = type(self.parts[name]).from_pretrained(folder / name)
            setattr(self.pipeline if name == "ldrm" else self.pipeline.backbone, name, trained)

    def _batches(self, stage: Stage, folder: Path, stack: contextlib.ExitStack) -> Batches:
        """Batches of the sources of a stage; latents are kept with procedural clips."""
        encoder = encoder_hash = None
        if "vae" in self.parts and "vae" not in stage.train:
            encoder = folder / "encoder"
            if self.accelerator.is_main_process:
                self.parts["vae"].save_pretrained(encoder)
            self.accelerator.wait_for_everyone()
            encoder_hash = weights_hash(encoder)  # in full precision, as `known_hash` wants it
        sources: list[tuple[ClipDataset, float]] = []
        for source in stage.data:
            if source.folder is not None:
                sources += self._open(source, stage)
            else:
                sources.append((self._made(source, stage, encoder, encoder_hash, stack), source.share))
        encoded = encoder_hash is not None and all(
            _has_latents(dataset, encoder_hash) for dataset, _ in sources
        )
        return Batches(
            sources,
            stage.batch,
            seed=self.seed,
            needs=(*stage.needs, *(("latents",) if encoded else ())),
            rank=self.accelerator.process_index,
            num_ranks=self.accelerator.num_processes,
            max_bad_share=self.max_bad_share,
            bad_log=folder / "bad_clips.jsonl",
        )

    def _open(self, source: Source, stage: Stage) -> list[tuple[ClipDataset, float]]:
        """Clips of a folder, which is looked through once."""
        key = (source, stage.name)
        if key not in self.opened:
            self.opened[key] = open_folder(source, stage, seed=self.seed)
        return self.opened[key]

    def _made(
        self,
        source: Source,
        stage: Stage,
        encoder: Path | None,
        encoder_hash: str | None,
        stack: contextlib.ExitStack,
    ) -> ClipFactory:
        """Procedural clips."""
        words = [f"{stage.frames}x{stage.size}", "static" if source.static else "moving"]
        words += ["photographs"] if source.photographs else []
        words += [f"still{source.still_camera:g}", f"v{GENERATOR_VERSION}"]
        words += [encoder_hash[:8]] if encoder_hash is not None else []
        return stack.enter_context(
            ClipFactory(
                self.cache / "-".join(words),
                source.clips,
                num_frames=stage.frames,
                height=stage.size,
                width=stage.size,
                static=source.static,
                photographs=source.photographs,
                still_camera=source.still_camera,
                vae=encoder,
                known_hash=encoder_hash,
                # other ranks ask for shards that this one would not come across by itself
                num_workers=max(self.num_workers, int(self.accelerator.num_processes > 1)),
                make=self.accelerator.is_local_main_process,
            )
        )


def _has_latents(dataset: ClipDataset, encoder_hash: str) -> bool:
    """Whether clips come with the latents of this very autoencoder; others are encoded when they are used."""
    if isinstance(dataset, ShardClips):
        return dataset.origin().get("vae") == encoder_hash
    return isinstance(dataset, ClipFactory)


@torch.no_grad()
def _normalize(vae: Any, batches: Batches) -> None:
    """Measure the statistics that latents are normalised by, on the clips of the first batches.

    Of several processes, the first one measures, on its own rows of those batches alone.
    """
    vae.eval()
    with contextlib.closing(batches.from_step(0)) as source:  # type: ignore[type-var]
        some = [next(source)[0]["video"] for _ in range(_STATISTICS_BATCHES)]
    together = torch.cat([vae.posterior(video.float() / 255)[0] for video in some])
    vae.set_normalization(together.mean(dim=(0, 1, 3, 4)), together.std(dim=(0, 1, 3, 4)))


def _write_model(
    run: _Run, recipe: Recipe, stages: Sequence[Stage], folders: Sequence[Path], folder: Path
) -> None:
    """Write the pipeline, and beside it what was done."""
    last, pipeline = stages[-1], run.pipeline
    pipeline.num_frames, pipeline.height, pipeline.width = last.frames, last.size, last.size
    pipeline.save_pretrained(folder / _MODEL)
    write_report(folder, recipe, [target.name for target in folders])
    if recipe.initial is None and not any(source.folder for stage in stages for source in stage.data):
        write_model_card(  # its words are about the compact model and procedural scenes
            folder / _MODEL,
            name=recipe.name,
            parts=run.parts,
            runs={target.name: read_run(target) for target in folders},
            clip=(last.frames, last.size, last.size),
            commands=["diff4splat train recipe.json"],
        )


def _first_pipeline(recipe: Recipe) -> Diff4SplatPipeline:
    if recipe.initial is not None:
        return Diff4SplatPipeline.from_pretrained(recipe.initial)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = CompactBackbone(CausalVideoVAE(), CompactDiT(), camera_guidance=_CAMERA_GUIDANCE)
        return Diff4SplatPipeline(backbone, LDRM.compact(**recipe.ldrm), num_gaussians=_BUDGET)


def _under(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a part, by the names that they have there."""
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}


def _check_recipe(recipe: Recipe, path: Path) -> None:
    """Refuse to go on with another recipe; more steps at the end or another seed would be another run."""
    if not path.is_file():
        return
    before = to_json(Recipe.load(path))  # defaults that it leaves out are put in
    for where, old, new in _differences(before, to_json(recipe)):
        raise ValueError(
            f"{path.parent} holds a run with {where}={old!r}, this recipe says {new!r}: "
            "choose another folder."
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
