"""All stages one after another, a step or two each, to a folder that the pipeline loads."""

import json

import pytest
import torch

from diff4splat.backbones.compact import CausalVideoVAE
from diff4splat.cli import COMMANDS
from diff4splat.cli import main as command_line
from diff4splat.data import read_shard
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.training.commands import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("stages")

    def stage(words: str) -> None:
        main([word.replace("@", f"{folder}/") for word in words.split()])

    tiny = "--steps 2 --save-every 1 --batch 2"
    stage("clips --output @clips --shards 2 --clips 2 --batch 2 --frames 5 --size 32")
    stage(f"vae --clips @clips --output @runs/vae --crop 16 --seed 3 {tiny}")
    stage("latents --clips @clips --vae @runs/vae/final --output @latents")
    stage(f"ldrm --clips @latents --output @runs/ldrm {tiny}")
    stage(f"dit --clips @latents --output @runs/dit {tiny}")
    stage(
        "bundle --vae @runs/vae/final --dit @runs/dit/averaged --ldrm @runs/ldrm/averaged --output @compact "
        "--frames 5 --size 32 --steps 1 --hardware somewhere --commands one two"
    )
    return folder


def test_latents_are_normalised(folder) -> None:
    files = sorted(path.name for path in (folder / "latents").iterdir())
    assert files == ["000000.safetensors", "000001.safetensors"]
    values = torch.cat([read_shard(folder / "latents" / name)[0]["latents"] for name in files]).float()
    assert values.shape == (4, 2, 8, 4, 4)
    # the statistics come from the same clips, encoded here in bfloat16
    assert values.mean((0, 1, 3, 4)).abs().max() < 0.2
    assert (values.std((0, 1, 3, 4)) - 1).abs().max() < 0.3


def test_bundle_is_a_pipeline(folder) -> None:
    pipe = Diff4SplatPipeline.from_pretrained(folder / "compact")
    field = pipe(torch.rand(3, 40, 40), "forward", "a ball", generator=torch.Generator().manual_seed(0))
    field.validate()
    assert field.num_times == 5
    config = json.loads((folder / "compact" / "pipeline_config.json").read_text())
    assert (config["num_frames"], config["height"], config["num_steps"]) == (5, 32, 1)


def test_bundle_has_a_card_with_the_facts(folder) -> None:
    card = (folder / "compact" / "README.md").read_text()
    assert "Hardware: somewhere." in card and "one\ntwo" in card
    rows = [line for line in card.splitlines() if line.startswith(("| vae", "| dit", "| ldrm"))]
    assert [row.split(" | ")[1] for row in rows] == ["2", "2", "2"]
    assert [row.split(" | ")[3] for row in rows] == ["3", "0", "0"]


def test_finished_shards_are_skipped(folder) -> None:
    path = folder / "clips" / "000000.safetensors"
    before = path.stat().st_mtime_ns
    words = ["clips", "--output", f"{folder}/clips", "--shards", "1", "--clips", "2", "--batch", "2"]
    main([*words, "--frames", "5", "--size", "32"])
    assert path.stat().st_mtime_ns == before
    with pytest.raises(
        ValueError, match="was made with frames=5, these options say 9: choose another folder"
    ):
        main([*words, "--frames", "9", "--size", "32"])


def test_latents_of_another_autoencoder_are_not_taken_for_finished(folder, tmp_path) -> None:
    words = ["latents", "--clips", f"{folder}/clips", "--output", f"{tmp_path}/latents", "--shards", "1"]
    CausalVideoVAE(width=8, num_blocks=1).save_pretrained(tmp_path / "other")
    main([*words, "--vae", f"{folder}/runs/vae/final"])
    with pytest.raises(ValueError, match="was made with vae=.*choose another folder"):
        main([*words, "--vae", f"{tmp_path}/other"])


@pytest.mark.parametrize(
    "words", [("--shards", "-1"), ("--clips", "0"), ("--batch", "0"), ("--frames", "6"), ("--size", "17")]
)
def test_clips_of_impossible_numbers_are_refused(words, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"{words[0]} must be .*, got {words[1]}"):
        main(["clips", "--output", f"{tmp_path}", *words])
    assert list(tmp_path.iterdir()) == []


def test_clips_that_do_not_fill_batches_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"--clips must be a multiple of --batch=2, got 3\."):
        main(["clips", "--output", f"{tmp_path}", "--clips", "3", "--batch", "2"])


def test_command_line_passes_stages_on(folder, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["train", "vae", "--help"]) == 0
    page = capsys.readouterr().out
    assert "usage: diff4splat train vae" in page and "--crop" in page
    assert command_line(["train", "nothing"]) == 2
    assert command_line(["train", "ldrm", "--clips", f"{tmp_path}", "--output", f"{tmp_path}/run"]) == 2
    assert "folder must hold shards" in capsys.readouterr().err
    words = ["train", "latents", "--clips", f"{folder}/clips", "--vae", f"{folder}/runs/vae/final"]
    assert command_line([*words, "--output", f"{tmp_path}/latents", "--shards", "1"]) == 0
    assert [path.name for path in (tmp_path / "latents").iterdir()] == ["000000.safetensors"]


def test_registry_knows_the_stages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    page = capsys.readouterr().out
    assert all(f"• {stage} " in page for stage in COMMANDS["train"].stages)
