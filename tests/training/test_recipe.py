"""Recipes: what they say, what they refuse, and the numbers of the paper."""

import json
import math

import pytest

from diff4splat.training import LOSSES, RECIPES, Recipe, Source, Stage


def stage(**changes: object) -> Stage:
    return Stage(**{"name": "a", "train": ("ldrm",), "losses": {"depth": 1.0}, "steps": 7, **changes})


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_survives_its_file(name, tmp_path) -> None:
    RECIPES[name].save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == RECIPES[name]
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert written["seed"] == 0 and "weight_decay" in written["stages"][0], "defaults are there to be edited"


def test_every_field_survives_its_file(tmp_path) -> None:
    sources = (
        Source(share=0.5, folder="here"),
        Source(
            folder="there",
            only="dynamic",
            weights="paper",
            temperature=2.0,
            draws=3,
            max_gap=7,
            scale="mean distance",
            tracks=11,
        ),
        Source(clips=3, static=True, photographs=True, still_camera=1.0),
    )
    full = stage(
        train=("dit", "ldrm"),
        losses={"flow_matching": 2.0, "photometric": 0.25, "motion": 1.0},
        data=sources,
        freeze=("dit.text",),
        frames=13,
        size=64,
        batch=6,
        accumulate=3,
        latents="denoised",
        rendered=2,
        shapes="kept",
        target_times=3,
        latent_noise=0.0,
        optimizer="muon",
        learning_rate=1e-4,
        weight_decay=0.0,
        warmup=0,
        schedule="trapezoid",
        cooldown=1.0,
        clip_norm=3.0,
        average=0.0,
        checkpoint_gradients=True,
    )
    recipe = Recipe("full", (full, stage(name="b")), seed=3, precision="no", initial="x")
    fresh = Recipe("fresh", (full,), ldrm={"dim": 32})
    for one in (recipe, fresh):
        one.save(tmp_path / "recipe.json")
        assert Recipe.load(tmp_path / "recipe.json") == one


def test_lists_are_as_good_as_tuples() -> None:
    listed = stage(train=["ldrm"], data=[Source()], freeze=["ldrm.tokens"])
    plain = stage(freeze=("ldrm.tokens",))
    assert listed == plain and hash(listed) == hash(plain) and listed.freeze == ("ldrm.tokens",)
    recipes = Recipe("r", [listed], ldrm={"dim": 32}), Recipe("r", (plain,), ldrm={"dim": 32})
    assert recipes[0] == recipes[1] and len(set(recipes)) == 1
    assert stage(losses={"depth": 2.0}) != stage()
    with pytest.raises(TypeError, match="train must be a tuple or list, got 'ldrm'"):
        stage(train="ldrm")


def test_the_paper_s_numbers() -> None:
    """Diff4Splat, Sec. 3.4 and 4.1."""
    recipe = RECIPES["paper"]
    assert [(s.steps, s.size) for s in recipe.stages] == [(40_000, 256), (40_000, 512), (20_000, 512)]
    assert {(s.learning_rate, s.weight_decay, s.optimizer, s.schedule) for s in recipe.stages} == {
        (1e-5, 1e-4, "adamw", "cosine")
    }
    assert recipe.precision == "bf16"
    assert [s.freeze for s in recipe.stages] == [("ldrm.deformation_head",)] * 2 + [()]
    assert ["point_motion" in s.losses for s in recipe.stages] == [False, False, True]
    assert {s.losses["perceptual"] for s in recipe.stages} == {0.5}
    assert {tuple(s.train) for s in recipe.stages} == {("dit", "ldrm")}, "both are trained jointly"


def test_the_compact_recipe_goes_from_still_and_small_to_moving() -> None:
    stages = {s.name: s for s in RECIPES["compact"].stages}
    assert stages["static-low"].size < stages["static-high"].size == stages["dynamic"].size
    assert all(source.static for name in ("static-low", "static-high") for source in stages[name].data)
    assert "motion" in stages["dynamic"].losses and not stages["dynamic"].freeze


def test_scaled_steps() -> None:
    small = RECIPES["paper"].scaled(1e-4)
    assert [s.steps for s in small.stages] == [4, 4, 2] and small.stages[0].warmup == 0
    assert RECIPES["paper"].scaled(1e-9).stages[0].steps == 1
    with pytest.raises(ValueError, match="steps must be > 0, got 0"):
        small.scaled(0.0)


def test_what_a_stage_runs_and_needs() -> None:
    plain = stage(losses={"color": 1.0})
    assert (plain.reconstructs, plain.denoises) == (True, False)
    assert plain.needs == ("video", "camera_to_world", "intrinsics")
    moving = stage(losses={"motion": 1.0})
    assert moving.needs == ("video", "camera_to_world", "intrinsics", "depth", "motion")
    joint = stage(train=("dit",), latents="denoised", losses={"photometric": 1.0}, rendered=1)
    assert joint.reconstructs and joint.denoises, "a frozen reconstruction model trains the diffusion model"
    assert not stage(train=("vae",), losses={"pixel": 1.0}).denoises


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, 'name must be of letters, digits, "-" and "_", got \'a/b\''),
        ({"name": ""}, "name must be of letters"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"batch": 16, "accumulate": 3}, "accumulate must be a divisor of batch=16, got 3"),
        ({"frames": 8}, r"frames must be 4k \+ 1 with k at least 1, got 8"),
        ({"frames": 1}, r"frames must be 4k \+ 1"),
        ({"size": 72}, "size must be a multiple of 16, got 72"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be > 0, got nan"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1"),
        ({"cooldown": 2.0}, r"cooldown must be in \[0, 1\], got 2"),
        ({"average": 1.0}, r"average must be in \[0, 1\), got 1"),
        ({"train": ()}, r"train must name a part at least \(vae, dit, ldrm\), got none"),
        ({"train": ("unet",)}, "train must be of vae, dit, ldrm, got 'unet'"),
        ({"losses": {}}, "losses must name a loss at least, got none"),
        ({"losses": {"depht": 1.0}}, "losses must be of color, depth, .*, got 'depht'"),
        ({"losses": {"depth": 0.0}}, r"losses\['depth'\] must be > 0, got 0.0"),
        ({"losses": {"depth": math.inf}}, r"losses\['depth'\] must be > 0, got inf"),
        ({"data": ()}, "data must name a source at least, got none"),
        ({"freeze": ("dit.blocks",)}, "freeze must name parameters of ldrm, got 'dit.blocks'"),
        ({"train": ("dit",)}, r"losses must hold one that trains 'dit' \(flow_matching\), got depth"),
        ({"train": ("ldrm", "dit")}, "losses must hold one that trains 'dit'"),
        (
            {"losses": {"depth": 1.0, "flow_matching": 1.0}},
            "flow_matching trains 'dit', which is not in train=ldrm",
        ),
        (
            {"train": ("dit",), "losses": {"flow_matching": 1.0, "depth": 1.0}},
            "depth trains 'ldrm', which is not in",
        ),
        ({"train": ("vae", "ldrm"), "losses": {"pixel": 1.0, "depth": 1.0}}, "train must hold the vae alone"),
        (
            {"losses": {"motion": 1.0}, "data": (Source(static=True),)},
            "motion needs clips in which something moves",
        ),
        ({"losses": {"pearson": 1.0}}, "pearson needs rendered images, got rendered=0"),
        (
            {"rendered": 2},
            "rendered=2 is for photometric, perceptual, pearson, total_variation, got none of them",
        ),
        (
            {"train": ("dit",), "losses": {"flow_matching": 1.0}, "latents": "denoised"},
            'latents="denoised" is for losses of the reconstruction model, got none',
        ),
        ({"crop": 64}, "crop is for the autoencoder, got train=ldrm"),
        (
            {"train": ("vae",), "losses": {"pixel": 1.0}, "crop": 160},
            "crop must be a multiple of 8 up to size, got 160",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        stage(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "share must be > 0, got 0"),
        ({"clips": 0}, "clips must be at least 1, got 0"),
        ({"still_camera": 1.5}, r"still_camera must be in \[0, 1\], got 1.5"),
        ({"folder": "x", "static": True}, "static is for procedural scenes, got it beside folder='x'"),
        ({"max_gap": 3}, "max_gap is for recordings, got it without a folder"),
        ({"only": "static"}, "only is for recordings, got it without a folder"),
        ({"folder": "x", "max_gap": 0}, "max_gap must be at least 1, got 0"),
        ({"folder": "x", "draws": 0}, "draws must be at least 1, got 0"),
        ({"folder": "x", "tracks": 0}, "tracks must be at least 1, got 0"),
        ({"folder": "x", "temperature": 0.5}, "temperature must be at least 1, got 0.5"),
    ],
)
def test_a_source_that_cannot_be_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Source(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": ()}, "stages must hold one at least, got none"),
        ({"stages": (stage(), stage())}, "stages must be named differently, got 'a'"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**{"name": "r", "stages": (stage(),), **changes})


STAGE = {"name": "a", "train": ["ldrm"], "losses": {"depth": 1}, "steps": 7}


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], TypeError, r"recipe must be an object, got \[\]"),
        ({"name": "r"}, ValueError, "recipe must have stages, got name"),
        (
            {"name": "r", "stages": [], "lr": 1},
            ValueError,
            "recipe must have keys of name, stages, .*, got 'lr'",
        ),
        ({"name": "r", "stages": "a"}, TypeError, "recipe 'r': stages must be a list, got 'a'"),
        ({"name": "r", "stages": [3]}, TypeError, "recipe 'r', stages must be an object, got 3"),
        (
            {"name": "r", "stages": [{**STAGE, "setps": 3}]},
            ValueError,
            "recipe 'r', stages must have keys of name, train, .*, got 'setps'",
        ),
        (
            {"name": "r", "stages": [{**STAGE, "steps": "7"}]},
            TypeError,
            "stages 'a': steps must be int, got '7'",
        ),
        ({"name": "r", "stages": [{**STAGE, "steps": True}]}, TypeError, "steps must be int, got True"),
        ({"name": "r", "stages": [{**STAGE, "steps": 1.5}]}, TypeError, "steps must be int, got 1.5"),
        (
            {"name": "r", "stages": [{**STAGE, "train": "ldrm"}]},
            TypeError,
            "train must be a list, got 'ldrm'",
        ),
        ({"name": "r", "stages": [{**STAGE, "losses": ["depth"]}]}, TypeError, "losses must be an object"),
        (
            {"name": "r", "stages": [{**STAGE, "losses": {"depth": "1"}}]},
            TypeError,
            r"losses\['depth'\] must be float, got '1'",
        ),
        (
            {"name": "r", "stages": [{**STAGE, "optimizer": "sgd"}]},
            ValueError,
            "optimizer must be one of adamw, muon, got 'sgd'",
        ),
        (
            {"name": "r", "stages": [STAGE], "precision": "fp8"},
            ValueError,
            "precision must be one of bf16, fp16, no, got 'fp8'",
        ),
        (
            {"name": "r", "stages": [STAGE], "initial": "compact", "ldrm": {"dim": 32}},
            ValueError,
            "ldrm must be empty beside initial='compact', got {'dim': 32}",
        ),
        ({"name": "r", "stages": [{**STAGE, "crop": "x"}]}, TypeError, "crop must be int or null, got 'x'"),
        (
            {"name": "r", "stages": [{**STAGE, "steps": 0}]},
            ValueError,
            "stages 'a': steps must be at least 1, got 0",
        ),
        (
            {"name": "r", "stages": [{**STAGE, "data": [{"share": -1}]}]},
            ValueError,
            "stages 'a', data: share must be > 0, got -1",
        ),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(values, error, message, tmp_path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(values))
    with pytest.raises(error, match=message):
        Recipe.load(path)


def test_a_file_that_is_no_json_is_refused(tmp_path) -> None:
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(ValueError, match=r"recipe\.json must be JSON, got Expecting"):
        Recipe.load(tmp_path / "recipe.json")


def test_losses_are_named_once() -> None:
    names = [name for losses in LOSSES.values() for name in losses]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, ("vae", "ldrm")),
        ({"train": ("vae",), "losses": {"pixel": 1.0}}, ("vae",)),
        ({"train": ("dit",), "losses": {"flow_matching": 1.0}}, ("vae", "dit")),
        ({"latents": "denoised"}, ("vae", "dit", "ldrm")),
    ],
)
def test_parts_that_take_part(changes, parts) -> None:
    assert stage(**changes).parts == parts
