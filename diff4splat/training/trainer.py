"""One stage of training on Hugging Face Accelerate: from one process on a laptop to many machines."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from diff4splat.files import folder_lock, write_safetensors
from diff4splat.pictures import save_picture
from diff4splat.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    gather_optimizers,
    gather_weights,
    restore,
)
from diff4splat.training.draws import Draws
from diff4splat.training.optimizers import learning_rate, make_optimizers
from diff4splat.training.recipe import Stage
from diff4splat.training.report import note_session
from diff4splat.training.watch import StageLog, Watch

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["BatchSource", "make_accelerator", "train_stage"]

_MOST_OVERFLOWS = 40  # in a row, under "fp16": the scale is then 2^-40 of what it was


@runtime_checkable
class BatchSource(Protocol):
    """Where batches come from; see `diff4splat.training.Batches`."""

    def from_step(self, step: int) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        """Rows of this process of the batches of a step and of those that follow.

        Args:
            step: Number of the first one.

        Returns:
            Endless batches and captions.
        """


def make_accelerator(precision: str, *, cpu: bool = False) -> "Accelerator":
    """The accelerator of this process, as `accelerate launch` and its configuration say.

    Args:
        precision: "bf16", "fp16" (GPU) or "no".
        cpu: Leave GPUs alone.

    Returns:
        The accelerator.

    Raises:
        ValueError: If `precision` is "fp16" and there is no GPU to use.
        ModuleNotFoundError: If accelerate is not installed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'Training needs accelerate: pip install "diff4splat[train]", or pip install accelerate.'
        ) from error
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()  # it is one for the process, and would refuse another precision
    # losses may leave a part of what is trained without gradients
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[unused])
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError('precision must be "bf16" or "no" without a GPU, got "fp16".')
    return accelerator


def train_stage(
    objective: nn.Module,
    batches: BatchSource,
    stage: Stage,
    folder: str | Path,
    accelerator: "Accelerator",
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> dict[str, Tensor]:
    """Train until `stage.steps`, going on from the last checkpoint in `folder` when there is one.

    Each process takes its rows of a batch in `stage.accumulate` parts, so that the same batch gives the same
    gradient however it is spread. On the CPU, in one process and with the same number of threads, a run that
    was killed at any moment and is started again ends bit for bit like one that was not.

    Args:
        objective: Called with clips, captions and `Draws`, gives `StepValues`; its parameters that require
            gradients are trained, in place.
        batches: Rows of this process.
        stage: Numbers of the stage.
        folder: Where checkpoints, log.jsonl and pictures are written.
        accelerator: From `make_accelerator`.
        seed: Of the draws.
        watch: What is written and shown; the defaults when omitted.

    Returns:
        Weights and buffers of the objective by name, the running average of those that were trained; on the
        first process. In place are the last ones, without average.

    Raises:
        ValueError: If the loss or its gradient is not finite; the batch is then kept in `folder` for
            inspection, beside the last checkpoint; under "fp16", whose scale may overflow now and then, after
            many steps in a row. If the batch cannot be spread over the processes, or
            `batches` gives other rows than the stage says; if another process trains in `folder`, or the
            first version of FSDP is asked for.
        OSError: If a checkpoint cannot be written; the one before stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder) if accelerator.is_main_process else nullcontext():
        run = _Run(objective, stage, folder, accelerator, seed, watch or Watch())
        if accelerator.is_main_process and run.step < stage.steps:
            note_session(folder, step=run.step, seed=seed, processes=accelerator.num_processes)
        return run.until_done(batches)


class _Run:
    """State of a stage that is under way."""

    def __init__(
        self, objective: nn.Module, stage: Stage, folder: Path, accelerator: Any, seed: int, watch: Watch
    ) -> None:
        processes = accelerator.num_processes
        if stage.batch % (processes * stage.accumulate):
            raise ValueError(
                f"batch must be a multiple of {processes} processes times accumulate={stage.accumulate}, "
                f"got {stage.batch}."
            )
        plugin = getattr(accelerator.state, "fsdp_plugin", None)
        if plugin is not None and getattr(plugin, "fsdp_version", 1) != 2:
            raise ValueError("FSDP must be version 2 (accelerate launch --fsdp_version 2), got version 1.")
        self.stage, self.folder, self.accelerator, self.watch = stage, folder, accelerator, watch
        self.seed = f"{seed}/{stage.name}"
        optimizers = make_optimizers(objective, stage)
        prepared = accelerator.prepare(objective, *optimizers)
        self.model, self.optimizers = prepared[0], [wrapped.optimizer for wrapped in prepared[1:]]
        self.trained = {
            name: parameter
            for name, parameter in _bare(self.model).named_parameters()
            if parameter.requires_grad
        }
        self.sharded = any(hasattr(parameter, "full_tensor") for parameter in self.trained.values())
        self.average = {name: p.detach().float().clone() for name, p in self.trained.items()}
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=watch.keep)
        main = accelerator.is_main_process
        self.log = StageLog(folder, stage.name, tensorboard=watch.tensorboard and main)
        self.step, self.seconds, self.overflows = 0, 0.0, 0
        self._go_on()

    def until_done(self, batches: BatchSource) -> dict[str, Tensor]:
        stage, watch = self.stage, self.watch
        main = self.accelerator.is_main_process
        bar = tqdm(
            total=stage.steps,
            initial=self.step,
            desc=stage.name,
            unit="step",
            smoothing=0.02,
            dynamic_ncols=True,
            disable=not (watch.progress and main),
        )
        source = batches.from_step(self.step)
        before, started = self.seconds, time.monotonic()
        self.model.train()
        try:
            with bar:
                while self.step < stage.steps:
                    clips, captions = self._next_rows(source)
                    values, rate = self._update(clips, captions)
                    self.log.add(values)
                    self.step += 1
                    self.seconds = before + time.monotonic() - started
                    bar.update()
                    shown = {name: f"{value:.3g}" for name, value in self.log.numbers().items()}
                    bar.set_postfix(shown, refresh=False)
                    last = self.step == stage.steps
                    if main and (last or self.step % watch.log_every == 0):
                        self.log.write(self.step, self.seconds, rate)
                    if watch.picture_every and (last or self.step % watch.picture_every == 0):
                        self._picture(clips)
                    if last or self.step % watch.save_every == 0:
                        self._save()
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
            self.log.close()
        weights = gather_weights(self.model, frozen=True)
        weights |= {name: _whole(value).cpu() for name, value in self.average.items()}
        return weights

    def _next_rows(
        self, source: Iterator[tuple[dict[str, Tensor], list[str]]]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Rows of the next step, as many as this process has to take."""
        expected = self.stage.batch // self.accelerator.num_processes
        clips, captions = next(source, ({}, []))
        counts = {"captions": len(captions), **{name: len(value) for name, value in clips.items()}}
        for name, count in counts.items():
            if count != expected:
                raise ValueError(
                    f"batches must give {expected} rows at step {self.step}, batch={self.stage.batch} over "
                    f"{self.accelerator.num_processes} processes, got {count} of {name}."
                )
        return clips, captions

    def _update(self, clips: dict[str, Tensor], captions: list[str]) -> tuple[dict[str, Tensor], float]:
        """One step of the optimisers; what to show of it, the same on all processes."""
        stage, accelerator = self.stage, self.accelerator
        parts, rows = stage.accumulate, len(captions)
        first, size = accelerator.process_index * rows, rows // parts
        total: dict[str, Tensor] = {}
        for part in range(parts):
            place = slice(part * size, (part + 1) * size)
            piece = {name: value[place].to(accelerator.device) for name, value in clips.items()}
            numbers = range(first + place.start, first + place.stop)
            draws = Draws(self.seed, self.step, numbers, device=accelerator.device)
            waits = accelerator.no_sync(self.model) if part + 1 < parts else nullcontext()
            with waits:
                values = self.model(piece, captions[place], draws)
                accelerator.backward(values.loss / parts)
            for name, value in {**values.terms, "loss": values.loss.detach()}.items():
                total[name] = total.get(name, 0.0) + value.float() / parts
            for name, value in values.ratios.items():
                total[f"{name}/"] = total.get(f"{name}/", 0.0) + value.float()
        total = accelerator.reduce(total, reduction="mean")
        for name in values.ratios:
            total[f"{name}/"] *= accelerator.num_processes  # sums, over all clips
        self._check_finite("loss", total["loss"], clips, captions)
        total["norm"] = _whole(accelerator.clip_grad_norm_(list(self.trained.values()), stage.clip_norm))
        scaler = accelerator.scaler
        # A scaler leaves out a step that overflows and goes on with half the scale.
        self.overflows = 0 if torch.isfinite(total["norm"]) else self.overflows + 1
        if scaler is None or self.overflows > _MOST_OVERFLOWS:
            self._check_finite("gradient", total["norm"], clips, captions)
        rate = learning_rate(self.step, stage)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
            optimizer.zero_grad()
        if scaler is not None:
            scaler.update()  # once: accelerate would after each optimiser, and unscale the second one twice
        decay = min(stage.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.trained.items():
                self.average[name].lerp_(parameter.detach().float(), 1 - decay)
        return total, rate

    def _picture(self, clips: dict[str, Tensor]) -> None:
        if self.watch.picture is None or self.sharded or not self.accelerator.is_main_process:
            return
        self.model.eval()
        with torch.no_grad():
            on_device = {name: value.to(self.accelerator.device) for name, value in clips.items()}
            picture = self.watch.picture(_bare(self.model), on_device)
        self.model.train()
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        save_picture(picture, folder / f"{self.step:08d}.png")

    def _save(self) -> None:
        weights = gather_weights(self.model)
        optimizer = gather_optimizers(self.model, self.optimizers)
        scaler = self.accelerator.scaler
        average = {name: _whole(value).cpu() for name, value in self.average.items()}
        if self.accelerator.is_main_process:
            self.checkpoints.save(
                Checkpoint(
                    self.step,
                    round(self.seconds, 1),
                    weights,
                    average,
                    optimizer,
                    self.log.averages,
                    scaler.state_dict() if scaler is not None else {},
                )
            )
        self.accelerator.wait_for_everyone()

    def _go_on(self) -> None:
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            self.log.go_on(0, {}, cut=self.accelerator.is_main_process)
            return
        if checkpoint.step > self.stage.steps:
            raise ValueError(
                f"{self.folder} holds a run of {checkpoint.step} steps, the stage has {self.stage.steps}: "
                "choose another folder."
            )
        restore(self.model, self.optimizers, checkpoint)
        for name, value in self.average.items():
            _copy_whole(value, checkpoint.average[name])
        if self.accelerator.scaler is not None and checkpoint.scaler:
            self.accelerator.scaler.load_state_dict(dict(checkpoint.scaler))
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.log.go_on(self.step, checkpoint.shown, cut=self.accelerator.is_main_process)

    def _check_finite(self, what: str, value: Tensor, clips: dict[str, Tensor], captions: list[str]) -> None:
        """Stop at a value that is not finite, and keep the batch that gave it."""
        if torch.isfinite(value):
            return
        folder = self.folder / "bad_batch"
        folder.mkdir(exist_ok=True)
        name = f"step-{self.step:08d}-process-{self.accelerator.process_index}.safetensors"
        tensors = {key: value.cpu().contiguous() for key, value in clips.items()}
        write_safetensors(folder / name, tensors, {"captions": json.dumps(captions), "seed": self.seed})
        raise ValueError(
            f"{what} must be finite, got {value.item()} at step {self.step} of stage {self.stage.name!r}; "
            f"its batch is in {folder}, and the run goes on from the last checkpoint when started again."
        )


def _bare(model: nn.Module) -> nn.Module:
    """What several processes wrap; sharded modules are not wrapped."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def _whole(value: Tensor) -> Tensor:
    """A tensor that may be spread over processes, on each of them."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _copy_whole(target: Any, value: Tensor) -> None:
    if hasattr(target, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    target.copy_(value)
