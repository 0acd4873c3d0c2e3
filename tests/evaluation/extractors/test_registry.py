"""Networks by name, and the table of them in the documentation."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from evaluation.extractors.tiny_networks import save_clip, save_i3d, save_vit
from hub.server import HubServer, run_client

from diff4splat.evaluation import extractor_table, load_extractor
from diff4splat.evaluation.extractors import EXTRACTORS
from diff4splat.evaluation.metrics import METRICS

PAGE = Path(__file__).parents[3] / "docs" / "extractors.md"


def test_loads_by_name(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    save_i3d(tmp_path / "i3d_torchscript.pt")
    save_clip(tmp_path / "clip")
    save_vit(tmp_path / "vit")
    torch.save({"weight": torch.ones(1, 5), "bias": torch.ones(1)}, tmp_path / "head.pth")
    assert load_extractor("i3d", tmp_path, batch_size=2).spec.name == EXTRACTORS["i3d"].title
    assert "with antialiasing" in str(load_extractor("clip", tmp_path / "clip").spec)
    assert "without antialiasing" in str(load_extractor("clip-background", tmp_path / "clip").spec)
    assert "with antialiasing" in str(load_extractor("clip-large", tmp_path / "clip").spec)
    assert "class token" in str(load_extractor("dino", tmp_path / "vit").spec)
    beauty = load_extractor("aesthetic", tmp_path / "head.pth", clip=tmp_path / "clip")
    assert "LAION aesthetic predictor on CLIP" in str(beauty.spec)


def test_unknown_names_and_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind must be one of i3d, clip,.*got 'vgg'"):
        load_extractor("vgg")
    with pytest.raises(TypeError, match="extractor 'i3d' takes the options .*'batch_size'.*got"):
        load_extractor("i3d", tmp_path, batchsize=3)


@pytest.mark.parametrize("kind", [kind for kind in EXTRACTORS if kind != "q-align"])
def test_without_network_every_one_says_what_to_fetch(kind: str) -> None:
    card = EXTRACTORS[kind]
    pattern = f"fetch {re.escape(', '.join(card.files))} from {card.page} .*{re.escape(card.licence)}"
    with pytest.raises(FileNotFoundError, match=pattern):
        load_extractor(kind, local_files_only=True)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_cards_name_metrics_and_factories_that_exist(kind: str) -> None:
    card = EXTRACTORS[kind]
    module, _, name = card.factory.partition(":")
    assert card.kind == kind and callable(getattr(importlib.import_module(module), name))
    assert card.metrics and set(card.metrics) <= set(METRICS)
    assert card.licence and card.files and card.megabytes > 0


def test_files_come_from_a_hub(tmp_path: Path) -> None:
    """A server on this machine: the file of I3D, and a CLIP of which the pickle alone is there."""
    pytest.importorskip("transformers")
    import transformers

    hub = HubServer()
    (tmp_path / "i3d").mkdir()
    save_i3d(tmp_path / "i3d" / "i3d_torchscript.pt")
    save_vit(tmp_path / "vit")
    model = transformers.ViTModel.from_pretrained(tmp_path / "vit", add_pooling_layer=False)
    torch.save(model.state_dict(), tmp_path / "vit" / "pytorch_model.bin")
    (tmp_path / "vit" / "model.safetensors").unlink()
    (tmp_path / "vit" / "code.py").write_text("raise SystemExit")
    for name, folder in (("flateon/FVD-I3D-torchscript", "i3d"), ("facebook/dino-vitb16", "vit")):
        hub.add(name, tmp_path / folder)
    code = """
from diff4splat.evaluation import load_extractor
for kind in ("i3d", "dino"):
    attempt(kind, lambda: load_extractor(kind).spec.key)
    attempt(kind + " again", lambda: load_extractor(kind, local_files_only=True).spec.key)
"""
    with hub.running() as address:
        report = run_client(code, address, tmp_path / "home")
    assert report["i3d"]["value"] == load_extractor("i3d", tmp_path / "i3d").spec.key
    assert report["dino"]["value"] == load_extractor("dino", tmp_path / "vit").spec.key
    assert report["i3d again"] == report["i3d"] and report["dino again"] == report["dino"]
    assert not any("code.py" in request for request in hub.requests)


def test_the_table_has_a_line_for_each() -> None:
    lines = extractor_table().splitlines()
    assert [line.split()[0] for line in lines] == ["name", *EXTRACTORS]
    starts = {line.index(card.source) for line, card in zip(lines[1:], EXTRACTORS.values(), strict=True)}
    assert len(starts) == 1, "columns are aligned"


def test_the_page_has_the_table_of_the_registry() -> None:
    section = PAGE.read_text().partition("## The networks\n")[2].partition("\n\n`clip`")[0]
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section, flags=re.MULTILINE)
    table = {kind: [cell.strip() for cell in rest.split("|")] for kind, rest in rows}
    assert list(table) == list(EXTRACTORS)
    for kind, (metrics, title, source, size, licence) in table.items():
        card = EXTRACTORS[kind]
        assert metrics == ", ".join(METRICS[key].title for key in card.metrics)
        assert title == card.title and source == f"[`{card.source}`]({card.page})"
        assert licence == card.licence
        assert size == (
            f"{card.megabytes / 1000:.1f} GB" if card.megabytes >= 1000 else f"{card.megabytes} MB"
        )
