"""A whole run in small: every stage a step or two, to a folder that the pipeline loads."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diff4splat.backbones.compact import CausalVideoVAE
from diff4splat.cli import main as command_line
from diff4splat.data import make_clips, write_shard
from diff4splat.files import folder_lock
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.training import RECIPES, Recipe, Source, Stage, Watch, stage_picture, train

SMALL = {
    "embed_dim": 16,
    "dim": 48,
    "num_layers": 4,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_width": 16,
}
QUIET = Watch(save_every=1, log_every=1, picture_every=2, picture=stage_picture, progress=False)


def smaller(stage: Stage) -> Stage:
    """The stage on tiny clips, two steps."""
    return replace(
        stage,
        steps=2,
        batch=2,
        frames=5,
        size=stage.size // 4,
        crop=16 if stage.crop else None,
        data=tuple(replace(source, clips=3) for source in stage.data),
    )


RECIPE = Recipe(
    name="tiny",
    stages=tuple(smaller(stage) for stage in RECIPES["compact"].stages),
    ldrm=SMALL,
    seed=3,
    precision="no",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert train(RECIPE, folder, cache=cache, num_workers=0, watch=QUIET, cpu=True) == folder / "model"
    return folder


def test_the_model_is_a_pipeline(folder) -> None:
    pipe = Diff4SplatPipeline.from_pretrained(folder / "model")
    assert (pipe.num_frames, pipe.height, pipe.width) == (5, 32, 32)
    field = pipe(torch.rand(3, 40, 40), "forward", "a ball", generator=torch.Generator().manual_seed(0))
    field.validate()


def test_stages_hand_on_what_they_trained(folder) -> None:
    stages = folder / "stages"
    still, moving = (LDRM.from_pretrained(stages / name / "ldrm") for name in ("3-static-high", "4-dynamic"))
    fresh = LDRM.compact(**SMALL)
    for name, value in still.deformation_head.state_dict().items():
        if "output" in name:
            assert torch.equal(value, fresh.deformation_head.state_dict()[name]), "it was frozen"
    changed = [n for n, v in moving.state_dict().items() if not torch.equal(v, still.state_dict()[n])]
    assert any(name.startswith("deformation_head.output") for name in changed)
    model = Diff4SplatPipeline.from_pretrained(folder / "model")
    for name, value in moving.state_dict().items():
        assert torch.equal(model.ldrm.state_dict()[name], value), "the last stage that trained it"


def test_latents_are_normalised(folder, cache) -> None:
    vae = CausalVideoVAE.from_pretrained(folder / "stages" / "1-autoencoder" / "vae")
    clips, _ = make_clips([0, 1, 2], num_frames=5, height=32, width=32)
    latents = vae.eval().encode(clips["video"].float() / 255)
    assert latents.mean((0, 1, 3, 4)).abs().max() < 0.3  # other weights of the same clips
    assert (latents.std((0, 1, 3, 4)) - 1).abs().max() < 0.3


def test_a_finished_run_is_not_run_again(folder, cache) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/done.json")}
    assert len(before) == 5
    train(RECIPE, folder, cache=cache, num_workers=0, watch=QUIET, cpu=True)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/done.json")} == before


def test_another_recipe_in_the_same_folder_is_refused(folder, cache) -> None:
    other = replace(RECIPE, stages=(*RECIPE.stages[:3], replace(RECIPE.stages[3], steps=9), RECIPE.stages[4]))
    with pytest.raises(ValueError, match=r"holds a run with stages\[3\].steps=2, this recipe says 9"):
        train(other, folder, cache=cache, num_workers=0, watch=QUIET, cpu=True)


def test_a_run_whose_recipe_leaves_out_defaults_goes_on(folder, cache) -> None:
    path = folder / "recipe.json"
    whole = json.loads(path.read_text())
    for stage in whole["stages"]:
        assert stage.pop("clip_norm") == 1.0  # the default
    path.write_text(json.dumps(whole))
    train(RECIPE, folder, cache=cache, num_workers=0, watch=QUIET, cpu=True)
    assert '"clip_norm"' in path.read_text(), "written whole again"


def test_the_report_shows_every_stage(folder) -> None:
    report = (folder / "report.md").read_text()
    card = (folder / "model" / "README.md").read_text()
    assert "# tiny" in card and "clips of 5 frames at 32 x 32" in card and "| 4-dynamic | 2 |" in card
    row = next(line for line in card.splitlines() if line.startswith("| 4-dynamic"))
    assert row.split(" | ")[3] == "3", "the seed"
    assert "Hardware: CPU" in card or "Hardware: 1 x" in card
    for number, stage in enumerate(RECIPE.stages, start=1):
        assert f"| {number}-{stage.name} | 2 |" in report
        assert f"(stages/{number}-{stage.name}/pictures/00000002.png)" in report
    assert "motion" in report and (folder / "curves.png").stat().st_size > 1000


def test_all_parts_can_be_trained_together_on_shards_of_one_s_own(tmp_path, folder) -> None:
    """Joint training by the paper's recipe, on clips with tracks of which one is bad."""
    clips, captions = make_clips([5, 6, 7, 8], num_frames=5, height=32, width=32)
    del clips["object_index"], clips["object_motion"]
    clips["tracks"] = torch.rand(4, 11, 5, 3) + torch.tensor([0.0, 0.0, 3.0])
    clips["visible"] = torch.ones(4, 11, 5, dtype=torch.bool)
    clips["visible"][2] = False
    write_shard(tmp_path / "clips" / "000000.safetensors", clips, captions)
    stage = replace(
        RECIPES["paper"].stages[2],
        data=(Source(folder=str(tmp_path / "clips")),),
        **{"steps": 2, "batch": 2, "frames": 5, "size": 32, "warmup": 0, "accumulate": 2},
    )
    recipe = Recipe("joint", (stage,), initial=str(folder / "model"), precision="no")
    before = Diff4SplatPipeline.from_pretrained(folder / "model")
    model = train(
        recipe,
        tmp_path / "run",
        watch=QUIET,
        cpu=True,
        max_bad_share=0.25,
        perceptual=lambda image, target: (image - target).abs().mean((1, 2, 3)),
    )
    after = Diff4SplatPipeline.from_pretrained(model)
    for old, new in ((before.ldrm, after.ldrm), (before.backbone.dit, after.backbone.dit)):
        assert any(not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
    for a, b in zip(before.backbone.vae.parameters(), after.backbone.vae.parameters(), strict=True):
        assert torch.equal(a, b)
    done = json.loads((tmp_path / "run" / "stages" / "1-dynamic" / "done.json").read_text())
    bad = [json.loads(line) for line in open(tmp_path / "run" / "stages" / "1-dynamic" / "bad_clips.jsonl")]
    assert done["bad_clips"] == 1 and "visible must hold for some track" in bad[0]["reason"]


def test_a_decoder_is_trained_further_without_moving_the_latents(tmp_path, folder, cache) -> None:
    stage = replace(RECIPE.stages[0], losses={"pixel": 1.0}, freeze=("vae.encoder",), crop=None)
    recipe = Recipe("sharper", (stage,), initial=str(folder / "model"), precision="no")
    model = train(recipe, tmp_path / "run", cache=cache, num_workers=0, watch=QUIET, cpu=True)
    before, after = (
        Diff4SplatPipeline.from_pretrained(path).backbone.vae.state_dict()
        for path in (folder / "model", model)
    )
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"decoder"}, "neither encoder nor normalisation"


def test_what_cannot_be_run_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(ValueError, match="until must be one of autoencoder, .*, got 'end'"):
        train(RECIPE, tmp_path / "run", until="end", cpu=True)
    stage = replace(RECIPE.stages[1], freeze=("ldrm.head",))
    with pytest.raises(ValueError, match="freeze must name parameters, got 'ldrm.head', which begins none"):
        train(replace(RECIPE, stages=(stage,)), tmp_path / "run", cpu=True)
    later = replace(RECIPE.stages[3], data=(Source(folder=str(tmp_path / "not_there")),))
    with pytest.raises(ValueError, match="stage 'dynamic': folder must hold shards"):
        train(replace(RECIPE, stages=(RECIPE.stages[0], later)), tmp_path / "run", cpu=True)
    clips, captions = make_clips([5], num_frames=5, height=32, width=48)
    write_shard(tmp_path / "wide" / "000000.safetensors", clips, captions)
    wide = replace(RECIPE.stages[3], data=(Source(folder=str(tmp_path / "wide")),))
    got = r"wide must have frames=5 of size=32 x 32, got 5 of 32 x 48 in 000000.safetensors\[0\]"
    with pytest.raises(ValueError, match=f"^stage 'dynamic': clips of .*{got}"):
        train(replace(RECIPE, stages=(RECIPE.stages[0], wide)), tmp_path / "run", cpu=True)
    with pytest.raises(FileNotFoundError):
        train(replace(RECIPE, initial=str(tmp_path / "none"), ldrm={}), tmp_path / "run", cpu=True)
    assert not (tmp_path / "run").exists()


def test_a_first_clip_that_is_bad_does_not_tell_the_size(tmp_path, folder) -> None:
    """It is counted instead, and a stage that saw few clips is judged at its end."""
    clips, captions = make_clips([5, 6, 7, 8], num_frames=5, height=32, width=32)
    clips["depth"][0] = 0
    write_shard(tmp_path / "clips" / "000001.safetensors", clips, captions)
    (tmp_path / "clips" / "000000.safetensors").write_bytes(b"damaged")
    stage = replace(RECIPE.stages[3], data=(Source(folder=str(tmp_path / "clips")),))
    recipe = Recipe("few", (stage,), initial=str(folder / "model"), precision="no")
    options = {"num_workers": 0, "watch": QUIET, "cpu": True}
    with pytest.raises(ValueError, match=r"\d of \d clips are bad, .*bad_clips.jsonl"):
        train(recipe, tmp_path / "run", **options)
    train(recipe, tmp_path / "run", max_bad_share=0.9, **options)
    counts = json.loads((tmp_path / "run" / "stages" / "1-dynamic" / "done.json").read_text())
    assert 0 < counts["bad_clips"] < counts["clips"], "of the first session"


def test_a_folder_in_use_is_refused(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    with folder_lock(tmp_path / "run"), pytest.raises(ValueError, match="one run at a time, got .*run"):
        train(RECIPE, tmp_path / "run", cpu=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_the_command_prints_a_recipe_and_runs_a_file(tmp_path, capsys, cache) -> None:
    assert command_line(["train", "paper", "--show"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["steps"] == 40_000
    replace(RECIPE, stages=RECIPE.stages[:1]).save(tmp_path / "mine.json")
    words = [
        "train",
        str(tmp_path / "mine.json"),
        "--output",
        str(tmp_path / "run"),
        "--workers",
        "0",
        "--cpu",
    ]
    assert command_line([*words, "--cache", str(cache), "--scale-steps", "0.5"]) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(tmp_path / "run" / "model"), str(tmp_path / "run" / "report.md")]
    assert "autoencoder" in shown.err, "a bar with the name of the stage"
    assert command_line([*words, "--scale-steps", "0"]) == 2
    assert "--scale-steps must be > 0, got 0" in capsys.readouterr().err
    assert command_line(["train", "nothing"]) == 2
    assert "recipe must be compact, paper or a JSON file, got 'nothing'" in capsys.readouterr().err
