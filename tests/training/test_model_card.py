import json

import pytest
import torch
from torch import nn

from diff4splat.hub import save_module
from diff4splat.training.model_card import read_run, write_model_card
from diff4splat.training.report import note_session


def log(folder, *records: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_facts_are_those_of_the_last_record(tmp_path) -> None:
    log(
        tmp_path,
        {"step": 300, "seconds": 150.0, "rate": 1e-3, "loss": 1.0},
        {"step": 400, "seconds": 200.0, "rate": 1e-4, "loss": 0.5, "psnr": 20.0},
    )
    assert (read_run(tmp_path).seed, read_run(tmp_path).hardware) == (None, ()), "of earlier versions"
    for step, processes in ((0, 1), (100, 2), (200, 2)):
        note_session(tmp_path, step=step, seed=3, processes=processes)
    facts = read_run(tmp_path)
    assert (facts.steps, facts.seconds, facts.seed) == (400, 200.0, 3)
    assert facts.last == {"loss": 0.5, "psnr": 20.0}
    assert len(facts.hardware) == 2, "alike ones once"
    assert facts.hardware[1] == f"2 processes, {facts.hardware[0]}"
    assert f"torch {torch.__version__}" in facts.hardware[0] and "diff4splat 0." in facts.hardware[0]


def test_a_run_without_a_log_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must hold log\.jsonl"):
        read_run(tmp_path)
    log(tmp_path)
    with pytest.raises(ValueError, match="must hold at least one record"):
        read_run(tmp_path)


def test_card_tells_the_facts(tmp_path) -> None:
    part = nn.Linear(7, 11)
    folder = tmp_path / "compact"
    save_module({}, part.state_dict(), folder / "ldrm", dtype=torch.float16)
    log(tmp_path / "run", {"step": 1234, "seconds": 9000.0, "rate": 0.0, "loss": 0.25, "norm": 1.0})
    note_session(tmp_path / "run", step=0, seed=5, processes=3)
    path = write_model_card(
        folder,
        name="compact",
        parts={"first": part, "second": nn.Linear(3, 5)},
        runs={"ldrm": read_run(tmp_path / "run")},
        clip=(9, 128, 160),
        commands=["diff4splat train ldrm --seed 5"],
        hardware="2 cores",
        notes=["It was tried on three photographs."],
    )
    card = path.read_text()
    assert path == folder / "README.md"
    for text in (
        "# compact",
        "clips of 9 frames at 128 x 160",
        "| first | 88 |",
        "| second | 20 |",
        "| all | 108 |",
        "| ldrm | 1,234 | 2.50 | 5 | loss 0.25 |",
        "diff4splat train ldrm --seed 5",
        "Hardware: 2 cores.",
        "## Limits",
        "- It was tried on three photographs.",
    ):
        assert text in card, text
    runs = {"ldrm": read_run(tmp_path / "run")}
    told = write_model_card(folder, name="compact", parts={}, runs=runs, clip=(9, 16, 16)).read_text()
    assert "Hardware: 3 processes, " in told
    bare = write_model_card(folder, name="compact", parts={}, runs={}, clip=(9, 16, 16)).read_text()
    assert "Hardware: not recorded." in bare


def test_card_needs_weights(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no safetensors file"):
        write_model_card(tmp_path, name="compact", parts={}, runs={}, clip=(9, 16, 16))
