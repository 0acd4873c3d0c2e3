"""The published weights of MoVieS: every name and shape, and one sentence where a file is another one."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from models.movies_parts import SMALL, golden, published_weights, run_golden, small_movies, write_published
from reference.models_movies import published_shapes

from diff4splat.models.movies import MoVieS, MoVieSReconstructor, load_movies_checkpoint


def test_network_of_published_size_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        network = MoVieS()
    ours = {f"backbone.{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == published_shapes()
    assert len(ours) == 1478
    parts = Counter(name.split(".")[1] for name in ours)
    assert (parts["encoder"], parts["backbone"]) == (344, 870)
    heads = ("depth_head", "splat_head", "motion_head", "motion_splat_head")
    assert [parts[head] for head in heads] == [62, 66, 64, 68]

    def millions(part: torch.nn.Module) -> float:
        return round(sum(parameter.numel() for parameter in part.parameters()) / 1e6, 1)

    assert millions(network) == 1041.1
    assert millions(network.encoder) == 304.4
    assert millions(network.backbone) == 604.8
    assert [millions(network.get_submodule(head)) for head in heads] == [32.7] * 4
    assert millions(network.plucker_embed) == 1.2


@pytest.mark.parametrize("where", ["file", "folder"])
def test_file_of_the_published_layout_is_read_whole(where: str, tmp_path: Path) -> None:
    config, given, expected = golden()
    file = write_published(tmp_path, published_weights())
    reconstructor = MoVieSReconstructor.from_pretrained(
        file if where == "file" else tmp_path, sizes=config, num_views=3, size=28, scene_scale=1.0
    )
    assert not reconstructor.training and not reconstructor.network.training
    written = published_weights()
    for name, value in reconstructor.network.state_dict().items():
        assert torch.equal(value, written[f"backbone.{name}"]), name
    torch.testing.assert_close(
        run_golden(reconstructor.network, given)["depth"], expected["depth"], atol=5e-5, rtol=5e-5
    )
    assert (reconstructor.num_views, reconstructor.size, reconstructor.scene_scale) == (3, 28, 1.0)


def test_loading_leaves_the_random_state_as_it_was(tmp_path: Path) -> None:
    file = write_published(tmp_path, published_weights())
    before = torch.get_rng_state()
    MoVieSReconstructor.from_pretrained(file, sizes=SMALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_saved_network_is_read_from_its_folder(tmp_path: Path) -> None:
    network = small_movies()
    network.save_pretrained(tmp_path)
    loaded = MoVieSReconstructor.from_pretrained(tmp_path, dtype=torch.bfloat16).network
    assert loaded.config == network.config
    assert torch.equal(loaded.depth_head.norm.weight, network.depth_head.norm.weight)


def test_heads_stay_in_float32(tmp_path: Path) -> None:
    file = write_published(tmp_path, published_weights())
    network = MoVieSReconstructor.from_pretrained(file, sizes=SMALL, dtype=torch.bfloat16).network
    for name, value in network.named_parameters():
        head = name.split(".")[0].endswith("_head")
        assert value.dtype == (torch.float32 if head else torch.bfloat16), name


def _changed(weights: dict, name: str, value) -> dict:
    return {**weights, name: value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: {k: v for k, v in w.items() if k != "backbone.encoder.norm.bias"},
            r"does not fit MoVieS: missing: encoder\.norm\.bias\.$",
        ),
        (
            lambda w: _changed(w, "backbone.renderer.scale", torch.zeros(1)),
            r"does not fit MoVieS: unexpected: renderer\.scale\.$",
        ),
        (
            lambda w: _changed(w, "step", torch.zeros(1)),
            r"does not fit MoVieS: unexpected: step\.$",
        ),
        (
            lambda w: _changed(w, "backbone.encoder.cls_token", torch.zeros(1, 1, 17)),
            r"shape of encoder\.cls_token: expected \(1, 1, 16\), got \(1, 1, 17\)",
        ),
        (
            lambda w: _changed(w, "backbone.encoder.cls_token", torch.full((1, 1, 16), torch.nan)),
            r"values of encoder\.cls_token: expected finite numbers",
        ),
        (
            lambda w: {"aggregator.frame_blocks.0.norm1.weight": torch.ones(3)},
            r"is no checkpoint of MoVieS: names must begin with 'backbone\.', got \['aggregator\.frame",
        ),
    ],
)
def test_other_weights_are_refused_in_one_sentence(change, words: str, tmp_path: Path) -> None:
    file = write_published(tmp_path, change(published_weights()))
    network = MoVieS(**SMALL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        load_movies_checkpoint(network, file)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    file = write_published(tmp_path, published_weights())
    with pytest.raises(ValueError, match=r"does not fit MoVieS: missing: .*and \d+ more"):
        MoVieSReconstructor.from_pretrained(file, sizes={**SMALL, "encoder_layers": 2})


def test_other_weights_of_the_repository_are_not_fetched(tmp_path: Path, monkeypatch) -> None:
    from diff4splat.models.movies import checkpoint

    write_published(tmp_path, published_weights())
    asked: list[str] = []

    def resolve(name: str, *, files, **options) -> Path:
        asked.extend(files)
        return tmp_path

    monkeypatch.setattr(checkpoint, "resolve_pretrained", resolve)
    MoVieSReconstructor.from_pretrained("chenguolin/MoVieS", sizes=golden()[0])
    assert set(asked) == {"movies_ckpt.safetensors", "config.json", "model.safetensors"}


def test_pickles_are_not_read(tmp_path: Path) -> None:
    torch.save(published_weights(), tmp_path / "movies_ckpt.safetensors")
    with pytest.raises(ValueError, match="is a pickle or torch archive; only safetensors files are read"):
        MoVieSReconstructor.from_pretrained(tmp_path, sizes=SMALL)


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(FileNotFoundError, match="holds neither movies_ckpt.safetensors nor a saved MoVieS"):
        MoVieSReconstructor.from_pretrained(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="no model 'chenguolin/MoVieS'.*the Hub cache did not give it"
    ):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        MoVieSReconstructor.from_pretrained(local_files_only=True)
    file = write_published(tmp_path, published_weights())
    with pytest.raises(ValueError, match="revision must be None for what is not on the Hub, got 'main'"):
        MoVieSReconstructor.from_pretrained(file, revision="main")
    with pytest.raises(TypeError, match="dtype must be a floating-point type such as torch.bfloat16, got"):
        MoVieSReconstructor.from_pretrained(file, dtype=torch.int32)
