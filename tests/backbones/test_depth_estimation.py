"""Depth models of the transformers library, tiny and random, from local folders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from diff4splat.backbones import monocular_depth

transformers = pytest.importorskip("transformers")


def save_model(folder: Path, **config: Any) -> None:
    backbone = transformers.Dinov2Config(
        image_size=28,
        patch_size=14,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=16,
        out_features=["stage1", "stage2"],
        apply_layernorm=False,
        reshape_hidden_states=False,
    )
    settings = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8],
        reassemble_factors=[2, 1],
        fusion_hidden_size=8,
        head_hidden_size=4,
        **config,
    )
    transformers.DepthAnythingForDepthEstimation(settings).save_pretrained(folder)
    transformers.DPTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder)


@pytest.mark.parametrize(
    ("config", "kind"),
    [({"depth_estimation_type": "metric", "max_depth": 20}, "metric"), ({}, "disparity")],
    ids=["metric", "relative"],
)
def test_depth_of_the_size_of_the_picture(tmp_path: Path, config: dict[str, Any], kind: str) -> None:
    save_model(tmp_path, **config)
    estimate = monocular_depth(tmp_path)
    picture = Image.effect_noise((47, 31), 60).convert("RGB")
    depth, got = estimate(picture)
    assert got == kind
    assert depth.shape == (31, 47)
    assert depth.dtype == torch.float32
    assert bool(torch.isfinite(depth).all())
    assert float(depth.std()) > 0
    again, _ = estimate(picture)
    assert torch.equal(depth, again)


def test_missing_and_unknown_models_in_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no depth model"):
        monocular_depth(tmp_path)
    transformers.BertConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="depth_anything.*got 'bert'"):
        monocular_depth(tmp_path)
