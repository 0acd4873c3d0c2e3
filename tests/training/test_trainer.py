"""The trainer: what it learns, resumes, refuses and writes, in one process and in two."""

import errno
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed.fsdp
from safetensors.torch import load_file
from training.line import WIDTH, Line, LineBatches, LineObjective, run, stage

import diff4splat
from diff4splat.training import Watch, make_accelerator, train_stage, trainer
from diff4splat.training import checkpoints as checkpoints_module
from diff4splat.training.optimizers import learning_rate, make_optimizers
from diff4splat.training.records import read_records
from diff4splat.training.report import read_sessions

SCRIPT = Path(__file__).with_name("line.py")


def in_process(folder: Path, *, processes: int = 1, **settings: object) -> subprocess.CompletedProcess[str]:
    words = [str(SCRIPT), str(folder), json.dumps(settings)]
    if processes > 1:
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *words]
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_run_that_was_stopped_ends_bit_by_bit_like_one_that_was_not(tmp_path) -> None:
    whole = LineObjective()
    expected = run(tmp_path / "whole", whole, stage())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", LineObjective(stop=7), stage())
    resumed = LineObjective()
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.zero_()  # everything comes from the folder
    assert_equal(run(tmp_path / "parts", resumed, stage()), expected)
    assert resumed.seen == [6, 7, 8, 9, 10], "the last checkpoint was at step 6"
    assert_equal(resumed.state_dict(), whole.state_dict())
    without_clock = [[{**line, "seconds": 0} for line in log_of(tmp_path / f)] for f in ("whole", "parts")]
    assert without_clock[0] == without_clock[1], "no step is logged twice, running averages go on"


def test_a_run_that_was_stopped_before_its_first_checkpoint_logs_no_step_twice(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, LineObjective(stop=2), stage())
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2]
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "sec')  # of a process that was killed
    run(tmp_path, LineObjective(), stage())
    assert [line["step"] for line in read_records(tmp_path / "log.jsonl")] == list(range(1, 12))


def test_half_a_line_is_no_record(tmp_path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 3}\n{"step": 4, "sec')
    assert read_records(tmp_path / "log.jsonl") == [{"step": 3}]


def test_a_killed_process_loses_the_steps_since_the_last_checkpoint_and_nothing_else(tmp_path) -> None:
    whole = in_process(tmp_path / "whole")  # sums are rounded otherwise with another number of threads
    assert whole.returncode == 0, whole.stderr
    killed = in_process(tmp_path / "parts", kill=8)
    assert killed.returncode == -9, killed.stderr
    leftover = tmp_path / "parts" / "checkpoints" / ".00000009.1.tmp"
    leftover.mkdir()  # as if it had been killed while it wrote
    (leftover / "weights.safetensors").write_bytes(b"half")
    assert in_process(tmp_path / "parts").returncode == 0
    assert_equal(*(torch.load(tmp_path / name / "weights.pt") for name in ("parts", "whole")))
    assert not leftover.exists()


def test_two_processes_do_what_one_does(tmp_path) -> None:
    settings = {"optimizer": "adamw", "steps": 7}
    alone = run(tmp_path / "one", LineObjective(), stage(**settings))
    both = in_process(tmp_path / "two", processes=2, **settings)
    assert both.returncode == 0, both.stderr
    pairs = list(zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True))
    assert [one["step"] for one, _ in pairs] == list(range(1, 8))
    for one, two in pairs:  # float32 sums in another order
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["error"] == pytest.approx(one["error"], rel=1e-5)
        assert two["norm"] == pytest.approx(one["norm"], rel=1e-4)
    together = torch.load(tmp_path / "two" / "weights.pt")
    for name, value in alone.items():
        # Adam divides by the root of what may be next to nothing
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-4)
    assert in_process(tmp_path / "two", processes=2, **{**settings, "steps": 7}).returncode == 0, "goes on"


def test_what_is_shown_does_not_depend_on_the_processes_before(tmp_path) -> None:
    run(tmp_path / "one", LineObjective(), stage(optimizer="adamw"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "changing", LineObjective(stop=7), stage(optimizer="adamw"))
    both = in_process(tmp_path / "changing", processes=2, optimizer="adamw")
    assert both.returncode == 0, both.stderr
    one, changing = (log_of(tmp_path / name)[-1] for name in ("one", "changing"))
    assert changing["step"] == one["step"] == 11
    assert changing["error"] == pytest.approx(one["error"], rel=1e-5)


def test_one_process_may_train_in_one_precision_after_the_other(tmp_path) -> None:
    for precision in ("bf16", "no"):
        assert make_accelerator(precision, cpu=True).mixed_precision == precision


@pytest.mark.skipif(not hasattr(torch.distributed.fsdp, "FSDPModule"), reason="torch without FSDP2")
def test_weights_that_are_sharded_over_two_processes_learn_the_same(tmp_path) -> None:
    alone = run(tmp_path / "one", LineObjective(), stage(steps=7))
    killed = in_process(tmp_path / "two", processes=2, shard=True, steps=7, kill=5)
    assert "must be" not in killed.stderr and "one process alone" not in killed.stderr
    assert [line["step"] for line in log_of(tmp_path / "two")] == [1, 2, 3, 4, 5]
    both = in_process(tmp_path / "two", processes=2, shard=True, steps=7)
    assert both.returncode == 0, both.stderr
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        # Muon multiplies in bfloat16, and shards in another order
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["error"] == pytest.approx(one["error"], rel=1e-4)
        assert two["norm"] == pytest.approx(one["norm"], rel=1e-3)
    together = torch.load(tmp_path / "two" / "weights.pt")
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=0, atol=4e-3)  # less than half a step
    unsharded = LineObjective()
    assert_equal(run(tmp_path / "two", unsharded, stage(steps=7)), together)
    assert unsharded.seen == [], "its checkpoints are whole, and know nothing of shards"


def test_the_first_version_of_fsdp_is_refused(tmp_path, monkeypatch) -> None:
    accelerator = make_accelerator("no", cpu=True)
    monkeypatch.setattr(accelerator.state, "fsdp_plugin", SimpleNamespace(fsdp_version=1), raising=False)
    with pytest.raises(ValueError, match=r"FSDP must be version 2 .*, got version 1"):
        train_stage(LineObjective(), LineBatches(6), stage(), tmp_path, accelerator)


@pytest.fixture
def run_scaled(monkeypatch) -> Callable[[Path, LineObjective], tuple[dict[str, torch.Tensor], dict]]:
    def run_scaled(folder: Path, objective: LineObjective) -> tuple[dict[str, torch.Tensor], dict]:
        accelerator = make_accelerator("no", cpu=True)  # accelerate scales on GPUs only
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=4)
        monkeypatch.setattr(accelerator, "scaler", scaler)
        made = accelerator._optimizers
        unscale = lambda: [scaler.unscale_(optimizer.optimizer) for optimizer in made]  # noqa: E731
        monkeypatch.setattr(accelerator, "unscale_gradients", unscale)
        watch = Watch(save_every=3, log_every=1, progress=False)
        weights = train_stage(objective, LineBatches(6), stage(), folder, accelerator, seed=5, watch=watch)
        return weights, scaler.state_dict()

    return run_scaled


def test_the_scale_of_half_precision_changes_nothing_and_goes_on(tmp_path, run_scaled) -> None:
    weights, scale = run_scaled(tmp_path / "whole", LineObjective())
    assert (scale["scale"], scale["_growth_tracker"]) == (256.0, 3), "after eleven steps"
    assert_equal(weights, run(tmp_path / "plain", LineObjective(), stage()))  # powers of two round nothing
    with pytest.raises(KeyboardInterrupt):
        run_scaled(tmp_path / "parts", LineObjective(stop=7))
    assert run_scaled(tmp_path / "parts", LineObjective())[1] == scale


@pytest.mark.parametrize(("bad", "ends"), [(4, False), (5, True)])
def test_gradients_that_overflow_for_ever_end_a_run_in_half_precision(
    tmp_path, monkeypatch, run_scaled, bad: int, ends: bool
) -> None:
    monkeypatch.setattr(trainer, "_MOST_OVERFLOWS", 4)
    objective, backwards = LineObjective(), itertools.count(1)
    overflow = lambda grad: grad * (float("inf") if next(backwards) <= bad else 1)  # noqa: E731
    objective.ldrm.narrow.bias.register_hook(overflow)
    if ends:
        with pytest.raises(ValueError, match="gradient must be finite, got .* at step 4 of stage 'line'"):
            run_scaled(tmp_path, objective)
        assert len(list((tmp_path / "bad_batch").iterdir())) == 1
    else:
        assert run_scaled(tmp_path, objective)[1]["scale"] == 64 / 2**4 * 2  # it grew once since


def test_half_precision_without_a_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match='precision must be "bf16" or "no" without a GPU, got "fp16"'):
        make_accelerator("fp16", cpu=True)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path) -> None:
    # one step of plain descent would do; AdamW's first step only shows signs, so compare the norm, too
    whole = run(tmp_path / "1", LineObjective(), stage(optimizer="adamw", steps=5))
    parts = run(tmp_path / "3", LineObjective(), stage(optimizer="adamw", steps=5, accumulate=3))
    for one, three in zip(log_of(tmp_path / "1"), log_of(tmp_path / "3"), strict=True):
        assert three["norm"] == pytest.approx(one["norm"], rel=1e-4)
        assert three["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-4)


def test_a_finished_stage_is_not_run_again(tmp_path) -> None:
    first = run(tmp_path, LineObjective(), stage())
    again = LineObjective()
    assert_equal(run(tmp_path, again, stage()), first)
    assert again.seen == []


def test_training_lowers_the_loss(tmp_path) -> None:
    objective = LineObjective()
    values = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1))

    def error(module: Line) -> torch.Tensor:
        return (module(values) - values[:, :3]).square().mean()

    before = error(objective.ldrm)
    weights = run(tmp_path, objective, stage(steps=120))
    kept = Line()
    kept.load_state_dict({name.removeprefix("ldrm."): value for name, value in weights.items()})
    assert error(kept) < 0.3 * before
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 121))
    assert {"loss", "size", "error", "norm", "rate", "seconds"} <= set(lines[-1])
    assert lines[-1]["error"] < 0.5 * lines[0]["error"], "a ratio of two sums"


def test_not_a_number_stops_the_run_and_keeps_batch_and_checkpoint(tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"loss must be finite, got nan at step 7 of stage 'line'; its batch"
    ):
        run(tmp_path, LineObjective(spoil=7), stage())
    kept = list((tmp_path / "bad_batch").iterdir())
    assert [path.name for path in kept] == ["step-00000007-process-0.safetensors"]
    expected = next(iter(LineBatches(6).from_step(7)))[0]
    assert_equal(load_file(kept[0]), expected)
    last = sorted((tmp_path / "checkpoints").iterdir())[-1]
    assert last.name == "00000006"
    assert all(value.isfinite().all() for value in load_file(last / "weights.safetensors").values())


def test_a_gradient_that_is_not_a_number_stops_the_run_before_it_spoils_the_weights(tmp_path) -> None:
    objective = LineObjective()
    objective.ldrm.narrow.bias.register_hook(lambda grad: grad * float("nan"))
    with pytest.raises(ValueError, match=r"gradient must be finite, got nan at step 0 of stage 'line'"):
        run(tmp_path, objective, stage())
    assert all(value.isfinite().all() for value in objective.state_dict().values())
    assert len(list((tmp_path / "bad_batch").iterdir())) == 1


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch) -> None:
    write = checkpoints_module.write_safetensors

    def on_a_small_disk(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
        if "00000006" in str(path) and path.name == "optimizer.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, tensors, header)

    monkeypatch.setattr(checkpoints_module, "write_safetensors", on_a_small_disk)
    message = r"the checkpoint of step 6 cannot be written .*No space left.*; the last good .*00000003"
    with pytest.raises(OSError, match=message):
        run(tmp_path, LineObjective(), stage())
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000003"]
    monkeypatch.undo()
    resumed = LineObjective()
    assert_equal(run(tmp_path, resumed, stage()), run(tmp_path / "whole", LineObjective(), stage()))
    assert resumed.seen[0] == 3


def test_a_checkpoint_is_on_the_disk_before_older_ones_go(tmp_path, monkeypatch) -> None:
    flushed, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, {path.name for path in kept.iterdir()}))
        sync(descriptor)

    kept = tmp_path / "checkpoints"
    monkeypatch.setattr(os, "fsync", noted)
    run(tmp_path, LineObjective(), stage(steps=6), keep=1)
    last = kept / "00000006"
    for path in last.iterdir():
        assert path.stat().st_ino in [number for number, _ in flushed], path.name
    assert (kept.stat().st_ino, {"00000003", "00000006"}) in flushed, "the new name is, and the old one yet"
    assert [path.name for path in kept.iterdir()] == ["00000006"]


def test_one_run_at_a_time_in_a_folder(tmp_path) -> None:
    hold = (
        "import pathlib, sys, time; from diff4splat.files import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="one run at a time, got .*, in which another process"):
            run(tmp_path, LineObjective(), stage())
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        other.kill()
    run(tmp_path, LineObjective(), stage(steps=1))


def test_every_session_is_noted(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, LineObjective(stop=7), stage())
    run(tmp_path, LineObjective(), stage())
    run(tmp_path, LineObjective(), stage())  # nothing to do
    sessions = read_sessions(tmp_path)
    assert [(s["step"], s["seed"], s["processes"]) for s in sessions] == [(0, 5, 1), (6, 5, 1)]
    assert "CPU" in sessions[0]["hardware"] or "x" in sessions[0]["hardware"]
    assert sessions[0]["versions"]["diff4splat"] == diff4splat.__version__


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("save_every", 0, 1), ("keep", 0, 1), ("log_every", 0, 1), ("picture_every", -1, 0)],
)
def test_what_cannot_be_watched_is_refused(name, value, least) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be at least {least}, got {value}"):
        Watch(**{name: value})


def test_only_the_last_checkpoints_stay(tmp_path) -> None:
    run(tmp_path, LineObjective(), stage(), keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00000009", "00000011"]


def test_what_is_kept_is_the_running_average(tmp_path) -> None:
    objective = LineObjective()
    history: list[torch.Tensor] = [objective.ldrm.narrow.bias.detach().clone()]
    objective.register_forward_pre_hook(
        lambda *_: history.append(objective.ldrm.narrow.bias.detach().clone())
    )
    weights = run(tmp_path, objective, stage(steps=4, average=0.5))
    history = [*history[2:], objective.ldrm.narrow.bias.detach()]  # after steps 0, 1, 2, 3
    expected = LineObjective().ldrm.narrow.bias.detach()
    for step, value in enumerate(history):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(weights["ldrm.narrow.bias"], expected)
    assert torch.equal(weights["ldrm.constant"], torch.tensor([1.5])), "buffers come along"


def test_what_is_frozen_stays(tmp_path) -> None:
    objective = LineObjective()
    objective.ldrm.wide.requires_grad_(False)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    weights = run(tmp_path, objective, stage())
    for name, value in weights.items():
        assert torch.equal(value, before[name]) != ("narrow" in name), name
    with pytest.raises(ValueError, match="must hold the weights that are trained; these differ: ldrm.wide"):
        run(tmp_path, LineObjective(), stage(steps=12))


def test_everything_frozen_is_refused(tmp_path) -> None:
    objective = LineObjective().requires_grad_(False)
    with pytest.raises(ValueError, match="stage 'line' must train parameters, got none"):
        run(tmp_path, objective, stage())


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="accumulate must be a divisor of batch=6, got 4"):
        stage(accumulate=4)
    failed = in_process(tmp_path, processes=2, batch=9)
    assert failed.returncode != 0
    assert "batch must be a multiple of 2 processes times accumulate=1, got 9" in failed.stderr


def test_batches_with_too_few_rows_are_refused(tmp_path) -> None:
    accelerator = make_accelerator("no", cpu=True)
    with pytest.raises(ValueError, match=r"must give 6 rows at step 0, .*, got 4 of captions"):
        train_stage(LineObjective(), LineBatches(4), stage(), tmp_path, accelerator)


def test_a_longer_run_is_not_cut(tmp_path) -> None:
    run(tmp_path, LineObjective(), stage())
    with pytest.raises(ValueError, match="holds a run of 11 steps, the stage has 5"):
        run(tmp_path, LineObjective(), stage(steps=5))


def test_rates() -> None:
    trapezoid = stage(steps=20, warmup=4, schedule="trapezoid", cooldown=0.25)
    expected = [0.25, 0.5, 0.75, *[1.0] * 13, 0.8, 0.6, 0.4, 0.2]
    assert [learning_rate(i, trapezoid) for i in range(20)] == pytest.approx([0.01 * r for r in expected])
    cosine = stage(steps=8, warmup=0)
    expected = [1, 0.96193977, 0.85355339, 0.69134172, 0.5, 0.30865828, 0.14644661, 0.03806023]
    assert [learning_rate(i, cosine) for i in range(8)] == pytest.approx([0.01 * r for r in expected])


def test_optimizers_by_name() -> None:
    objective = LineObjective()
    adam = make_optimizers(objective, stage(optimizer="adamw", weight_decay=0.3))
    assert [type(o).__name__ for o in adam] == ["AdamW"]
    decays = {g["weight_decay"]: sum(p.numel() for p in g["params"]) for g in adam[0].param_groups}
    assert decays == {0.3: WIDTH * WIDTH + 3 * WIDTH, 0.0: WIDTH + 3}, "vectors are not decayed"
    if hasattr(torch.optim, "Muon"):
        muon = make_optimizers(objective, stage())[1]
        assert [tuple(p.shape) for p in muon.param_groups[0]["params"]] == [(WIDTH, WIDTH)]


def test_pictures_and_curves(tmp_path) -> None:
    objective, modes = LineObjective(), []

    def picture(module: LineObjective, clips: dict[str, torch.Tensor]) -> torch.Tensor:
        modes.append(module.training)
        return torch.full((3, 5, 7), int(clips["step"][0]) / 255)

    run(tmp_path, objective, stage(), picture_every=4, picture=picture, tensorboard=True)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["00000004.png", "00000008.png", "00000011.png"]
    assert modes == [False] * 3 and objective.training
    assert any((tmp_path / "tensorboard").iterdir())
