"""The training loop: what it learns, resumes, refuses and writes."""

import itertools
import json

import pytest
import torch
from torch import Tensor, nn

from diff4splat.hub import HubModule
from diff4splat.training.loop import LoopConfig, run_loop


class Line(HubModule):
    """A matrix that the matrix optimiser takes, a small one that it leaves, and a bias."""

    def __init__(self, width: int = 37) -> None:
        super().__init__()
        self.wide = nn.Linear(width, width)
        self.narrow = nn.Linear(width, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.narrow(torch.tanh(self.wide(values)))


def line() -> Line:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Line()


def batches(step: int):
    """Another batch at every step, the same one for the same step."""
    for number in itertools.count(step):
        yield torch.randn(5, 37, generator=torch.Generator().manual_seed(number))


def losses_of(
    module: Line, *, seen: list[int] | None = None, stop: int | None = None, nan: int | None = None
):
    """Regression with noise from the loop's generator."""

    def losses(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        if seen is not None:
            seen.append(len(seen))
            if len(seen) - 1 == stop:
                raise KeyboardInterrupt
        noise = 0.1 * torch.randn(5, 3, generator=generator)
        error = (module(batch) - batch[:, :3] - noise).square().mean()
        if nan is not None and len(seen) - 1 == nan:
            error = error * float("nan")
        return {"loss": error, "size": batch.abs().mean()}

    return losses


CONFIG = LoopConfig(steps=11, learning_rate=1e-2, warmup=2, save_every=3, bfloat16=False, average=0.9)


def test_a_run_that_was_stopped_ends_bit_by_bit_like_one_that_was_not(tmp_path) -> None:
    whole = line()
    run_loop(whole, batches, losses_of(whole), tmp_path / "whole", CONFIG)
    stopped = line()
    with pytest.raises(KeyboardInterrupt):
        run_loop(stopped, batches, losses_of(stopped, seen=[], stop=7), tmp_path / "parts", CONFIG)
    # a new process: other weights in memory, everything comes from the folder
    resumed, seen = Line(), []
    run_loop(resumed, batches, losses_of(resumed, seen=seen), tmp_path / "parts", CONFIG)
    assert len(seen) == 11 - 6, "the last checkpoint was at step 6"
    for (name, first), second in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    for folder in ("whole", "parts"):
        saved = Line.from_pretrained(tmp_path / folder / "averaged")
        assert torch.equal(saved.wide.weight, whole.wide.weight)


def test_a_finished_run_is_not_run_again(tmp_path) -> None:
    first, second, seen = line(), Line(), []
    run_loop(first, batches, losses_of(first), tmp_path, CONFIG)
    run_loop(second, batches, losses_of(second, seen=seen), tmp_path, CONFIG)
    assert seen == [] and torch.equal(first.wide.weight, second.wide.weight)
    assert not second.training


def test_training_lowers_the_loss_and_logs_it(tmp_path) -> None:
    module = line()
    config = LoopConfig(
        steps=120, learning_rate=1e-2, warmup=5, save_every=40, bfloat16=False, average=0.9, seed=7
    )
    values = torch.randn(64, 37, generator=torch.Generator().manual_seed(1))
    before = (module(values) - values[:, :3]).square().mean()
    run_loop(module, batches, losses_of(module), tmp_path, config)
    assert (module(values) - values[:, :3]).square().mean() < 0.3 * before
    records = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [40, 80, 120]
    assert all({"loss", "size", "norm", "rate", "seconds"} <= set(record) for record in records)
    assert {record["seed"] for record in records} == {7}


def test_not_a_number_stops_the_run_and_the_checkpoint_stays(tmp_path) -> None:
    module = line()
    with pytest.raises(ValueError, match=r"loss must be finite, got nan at step 7; resume from"):
        run_loop(module, batches, losses_of(module, seen=[], nan=7), tmp_path, CONFIG)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 6
    assert all(torch.isfinite(value).all() for value in state["module"].values())
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_what_is_kept_is_the_running_average(tmp_path) -> None:
    module, seen = line(), []
    config = LoopConfig(steps=4, learning_rate=1e-2, warmup=1, save_every=1, bfloat16=False, average=0.5)
    expected: list[Tensor] = [module.narrow.bias.detach().clone()]

    def losses(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        if seen:  # the weights after step i - 1 are those at the start of step i
            decay = min(0.5, seen[-1] / (9 + seen[-1]))
            expected.append(decay * expected[-1] + (1 - decay) * module.narrow.bias.detach())
        seen.append(len(seen) + 1)
        return {"loss": (module(batch) - 1).square().mean()}

    run_loop(module, batches, losses, tmp_path, config)
    last = torch.load(tmp_path / "state.pt", weights_only=True)["module"]["narrow.bias"]
    decay = min(0.5, 4 / 13)
    torch.testing.assert_close(module.narrow.bias, decay * expected[-1] + (1 - decay) * last)


def test_parts_can_be_frozen(tmp_path) -> None:
    module = line()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run_loop(module, batches, losses_of(module), tmp_path, CONFIG, trainable=lambda name: "narrow" in name)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]) != ("narrow" in name), name


def test_the_rate_warms_up_stays_and_cools_down(tmp_path) -> None:
    module = line()
    config = LoopConfig(steps=20, learning_rate=1e-2, warmup=4, cooldown=0.25, save_every=1, bfloat16=False)
    run_loop(module, batches, losses_of(module), tmp_path, config)
    rates = [json.loads(text)["rate"] for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    expected = [0.25, 0.5, 0.75, *[1.0] * 13, 0.8, 0.6, 0.4, 0.2]
    assert rates == pytest.approx([0.01 * share for share in expected])


def test_the_clock_of_a_resumed_run_goes_on(tmp_path, monkeypatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr("diff4splat.training.loop.time.monotonic", lambda: float(next(clock)))
    stopped, resumed = line(), Line()
    with pytest.raises(KeyboardInterrupt):
        run_loop(stopped, batches, losses_of(stopped, seen=[], stop=7), tmp_path, CONFIG)
    run_loop(resumed, batches, losses_of(resumed), tmp_path, CONFIG)
    seconds = [json.loads(text)["seconds"] for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    # the clock is read once at the start of a session and once per checkpoint
    assert seconds == [100.0 * (number + 1) for number in range(len(seconds))] and len(seconds) > 2
