"""One stage of training on Hugging Face Accelerate: from one process on a laptop to many machines."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from diff4splat.files import atomic_path, write_safetensors
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

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["BatchSource", "Watch", "make_accelerator", "train_stage"]

_SMOOTHING = 0.02


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


@dataclass(frozen=True)
class Watch:
    """What a person sees of a run.

    Args:
        save_every: Steps between checkpoints.
        keep: Checkpoints that stay.
        log_every: Steps between lines of log.jsonl.
        picture_every: Steps between pictures; 0 for none.
        picture: Called with the bare objective and the batch of the step, returns an image (height, width,
            rgb), bytes.
        tensorboard: Write what is logged for TensorBoard, too.
        progress: Show a bar.
    """

    save_every: int = 200
    keep: int = 2
    log_every: int = 20
    picture_every: int = 0
    picture: Callable[[Any, dict[str, Tensor]], Tensor] | None = None
    tensorboard: bool = False
    progress: bool = True


def make_accelerator(precision: str, *, cpu: bool = False) -> "Accelerator":
    """The accelerator of this process, as `accelerate launch` and its configuration say.

    Args:
        precision: "bf16", "fp16" or "no".
        cpu: Leave GPUs alone.

    Returns:
        The accelerator.

    Raises:
        ModuleNotFoundError: If accelerate is not installed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'Training needs accelerate: pip install "diff4splat[train]", or pip install accelerate.'
        ) from error
    # losses may leave a part of what is trained without gradients
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[unused])


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
            inspection, beside the last checkpoint. If the batch cannot be spread over the processes.
        OSError: If a checkpoint cannot be written; the one before stays.
    """
    watch = watch or Watch()
    run = _Run(objective, stage, Path(folder), accelerator, seed, watch)
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
        folder.mkdir(parents=True, exist_ok=True)
        self.stage, self.folder, self.accelerator, self.watch = stage, folder, accelerator, watch
        self.seed = f"{seed}/{stage.name}"
        optimizers = make_optimizers(objective, stage)
        prepared = accelerator.prepare(objective, *optimizers)
        self.model, self.optimizers = prepared[0], list(prepared[1:])
        self.bare_optimizers = [optimizer.optimizer for optimizer in self.optimizers]
        self.trained = {
            name: parameter
            for name, parameter in _bare(self.model).named_parameters()
            if parameter.requires_grad
        }
        self.average = {name: p.detach().float().clone() for name, p in self.trained.items()}
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=watch.keep)
        self.shown: dict[str, Any] = {}
        self.step, self.seconds = 0, 0.0
        self._go_on()

    def until_done(self, batches: BatchSource) -> dict[str, Tensor]:
        stage, watch = self.stage, self.watch
        main = self.accelerator.is_main_process
        writer = _writer(self.folder) if watch.tensorboard and main else None
        bar = tqdm(
            total=stage.steps,
            initial=self.step,
            desc=stage.name,
            unit="step",
            smoothing=0.02,
            dynamic_ncols=True,
            disable=not (watch.progress and main),
        )
        source = batches.from_step(self.step) if self.step < stage.steps else iter(())
        before, started = self.seconds, time.monotonic()
        self.model.train()
        try:
            with bar:
                while self.step < stage.steps:
                    clips, captions = self._next_rows(source)
                    values, rate = self._update(clips, captions)
                    self._smooth(values)
                    self.step += 1
                    self.seconds = before + time.monotonic() - started
                    bar.update()
                    bar.set_postfix(_short(self.shown), refresh=False)
                    last = self.step == stage.steps
                    if last or self.step % watch.log_every == 0:
                        self._log(rate, writer)
                    if watch.picture_every and (last or self.step % watch.picture_every == 0):
                        self._picture(clips)
                    if last or self.step % watch.save_every == 0:
                        self._save()
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
            if writer is not None:
                writer.close()
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
        self._check_finite("loss", total["loss"], clips, captions)
        total["norm"] = _whole(accelerator.clip_grad_norm_(list(self.trained.values()), stage.clip_norm))
        if (
            accelerator.scaler is None
        ):  # which leaves out steps that overflow, and goes on with a smaller scale
            self._check_finite("gradient", total["norm"], clips, captions)
        rate = learning_rate(self.step, stage)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        decay = min(stage.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.trained.items():
                self.average[name].lerp_(parameter.detach().float(), 1 - decay)
        return total, rate

    def _smooth(self, values: Mapping[str, Tensor]) -> None:
        """Running averages; of ratios, those of both sums."""
        for name, value in values.items():
            if not value.isfinite().all():
                continue  # a step that overflowed in half precision, and was left out
            new = value.tolist()
            old = self.shown.get(name, new)
            if isinstance(new, list):
                self.shown[name] = [a + _SMOOTHING * (b - a) for a, b in zip(old, new, strict=True)]
            else:
                self.shown[name] = old + _SMOOTHING * (new - old)

    def _log(self, rate: float, writer: Any) -> None:
        if not self.accelerator.is_main_process:
            return
        values = _as_numbers(self.shown)
        record = {"step": self.step, "seconds": round(self.seconds, 1), "rate": rate, **values}
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        if writer is not None:
            for name, value in {"rate": rate, **values}.items():
                writer.add_scalar(f"{self.stage.name}/{name}", value, self.step)

    def _picture(self, clips: dict[str, Tensor]) -> None:
        if self.watch.picture is None or not self.accelerator.is_main_process:
            return
        from PIL import Image

        self.model.eval()
        with torch.no_grad():
            on_device = {name: value.to(self.accelerator.device) for name, value in clips.items()}
            picture = self.watch.picture(_bare(self.model), on_device)
        self.model.train()
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        with atomic_path(folder / f"{self.step:08d}.png") as temporary:
            Image.fromarray(picture.cpu().numpy()).save(temporary, format="PNG")

    def _save(self) -> None:
        weights = gather_weights(self.model)
        optimizer = gather_optimizers(self.model, self.bare_optimizers)
        average = {name: _whole(value).cpu() for name, value in self.average.items()}
        if self.accelerator.is_main_process:
            self.checkpoints.save(
                Checkpoint(self.step, round(self.seconds, 1), weights, average, optimizer, self.shown)
            )
        self.accelerator.wait_for_everyone()

    def _go_on(self) -> None:
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            return
        if checkpoint.step > self.stage.steps:
            raise ValueError(
                f"{self.folder} holds a run of {checkpoint.step} steps, the stage has {self.stage.steps}: "
                "choose another folder."
            )
        restore(self.model, self.bare_optimizers, checkpoint)
        for name, value in self.average.items():
            _copy_whole(value, checkpoint.average[name])
        self.step, self.seconds, self.shown = checkpoint.step, checkpoint.seconds, dict(checkpoint.shown)
        self._cut_log()

    def _cut_log(self) -> None:
        """Lines of steps that are done again would stand there twice."""
        path = self.folder / "log.jsonl"
        if not self.accelerator.is_main_process or not path.is_file():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= self.step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

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


def _as_numbers(shown: Mapping[str, Any]) -> dict[str, float]:
    """Averages, and ratios of averages under the name without its stroke."""
    return {
        name.rstrip("/"): value[0] / max(value[1], 1e-9) if isinstance(value, list) else value
        for name, value in shown.items()
    }


def _short(shown: Mapping[str, Any]) -> dict[str, str]:
    numbers = _as_numbers(shown)
    first = {"loss": numbers.pop("loss")} if "loss" in numbers else {}
    return {name: f"{value:.3g}" for name, value in {**first, **numbers}.items()}


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # half a line, of a process that was killed


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'TensorBoard needs a package: pip install "diff4splat[train]", or pip install tensorboard.'
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
