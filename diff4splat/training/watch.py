"""What a person sees of a run: running averages in a bar, in log.jsonl and for TensorBoard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from diff4splat.files import atomic_path
from diff4splat.training.records import add_record, read_records

__all__ = ["StageLog", "Watch"]

_SMOOTHING = 0.02


@dataclass(frozen=True)
class Watch:
    """What a person sees of a run.

    Args:
        save_every: Steps between checkpoints.
        keep: Checkpoints that stay.
        log_every: Steps between lines of log.jsonl.
        picture_every: Steps between pictures; 0 for none.
        picture: Called with the bare objective and the batch of the step, returns an image (rgb, height,
            width), sRGB in [0, 1]. Not called where the weights are sharded over processes.
        tensorboard: Write what is logged for TensorBoard, too.
        progress: Show a bar.

    Raises:
        ValueError: If a number is below 1, or that of pictures below 0.
    """

    save_every: int = 200
    keep: int = 2
    log_every: int = 20
    picture_every: int = 0
    picture: Callable[[Any, dict[str, Tensor]], Tensor] | None = None
    tensorboard: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("save_every", 1), ("keep", 1), ("log_every", 1), ("picture_every", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")


class StageLog:
    """Running averages of what the steps of a stage give, and the files that show them.

    Args:
        folder: Of the stage.
        name: Of the stage.
        tensorboard: Write for TensorBoard, too.

    Raises:
        ModuleNotFoundError: If TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, name: str, *, tensorboard: bool = False) -> None:
        self.averages: dict[str, Any] = {}
        self._path, self._name = folder / "log.jsonl", name
        self._writer = _tensorboard_writer(folder) if tensorboard else None

    def go_on(self, step: int, averages: Mapping[str, Any], *, cut: bool) -> None:
        """Go on after a step.

        Args:
            step: Steps that are done.
            averages: As they were then.
            cut: Leave out the lines of later steps, which are done again and would stand there twice.
        """
        self.averages = dict(averages)
        if cut and self._path.is_file():
            kept = [record for record in read_records(self._path) if record["step"] <= step]
            with atomic_path(self._path) as temporary:
                temporary.touch()
                for record in kept:
                    add_record(temporary, record)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take the values of a step into the averages; of ratios, both sums.

        Args:
            values: Numbers by name, and pairs of sums under a name that ends in "/".
        """
        for name, value in values.items():
            if not value.isfinite().all():
                continue  # a step that overflowed in half precision, and was left out
            new = value.tolist()
            old = self.averages.get(name, new)
            if isinstance(new, list):
                self.averages[name] = [a + _SMOOTHING * (b - a) for a, b in zip(old, new, strict=True)]
            else:
                self.averages[name] = old + _SMOOTHING * (new - old)

    def numbers(self) -> dict[str, float]:
        """The averages.

        Returns:
            Numbers by name, the loss first; of ratios, that of the averages, under the name without its
            stroke.
        """
        first = {"loss": self.averages["loss"]} if "loss" in self.averages else {}
        return {
            name.rstrip("/"): value[0] / max(value[1], 1e-9) if isinstance(value, list) else value
            for name, value in {**first, **self.averages}.items()
        }

    def write(self, step: int, seconds: float, rate: float) -> None:
        """Add a line to log.jsonl, and points to the curves of TensorBoard.

        Args:
            step: Steps that are done.
            seconds: Time that they took.
            rate: Learning rate.
        """
        values = self.numbers()
        record = {"step": step, "seconds": round(seconds, 1), "rate": rate, **values}
        add_record(self._path, record)
        if self._writer is not None:
            for name, value in {"rate": rate, **values}.items():
                self._writer.add_scalar(f"{self._name}/{name}", value, step)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        if self._writer is not None:
            self._writer.close()


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'TensorBoard needs a package: pip install "diff4splat[train]", or pip install tensorboard.'
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
