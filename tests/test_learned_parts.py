"""Every learned part of the library is saved and loaded by itself; a new one cannot be forgotten."""

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

import diff4splat
from diff4splat.hub import HubModule, read_config

# A small size of each part, by the folder it is imported from.
PARTS = {
    "backbones.TinyVideoVAE": {"latent_channels": 3, "width": 2, "patch_size": 2, "variant": "super"},
    "backbones.FunControlAdapter": {"embed_dim": 7, "spatial_stride": 2},
    "backbones.PluckerAdapter": {"embed_dim": 7, "spatial_stride": 2, "hidden_dim": 5},
    "backbones.PluckerConcatenation": {"embed_dim": 7, "spatial_stride": 2, "camera_channels": 3},
    "backbones.compact.ByteTextEncoder": {"dim": 12, "num_layers": 1, "num_heads": 3, "max_bytes": 17},
    "backbones.compact.CausalVideoVAE": {"latent_channels": 3, "width": 8, "num_blocks": 1},
    "backbones.compact.CompactDiT": {"dim": 24, "num_layers": 1, "num_heads": 3, "num_key_value_heads": 3},
    "cameras.PluckerEmbedding": {"embed_dim": 7, "patch_size": 3},
    "models.DeformationHead": {"dim": 12, "num_levels": 3, "width": 6, "pixel_width": 5, "time_dim": 10},
    "models.GaussianHead": {
        "dim": 12,
        "upsampling": 8,
        "temporal_upsampling": 2,
        "width": 6,
        "pixel_width": 5,
    },
    "models.LDRM": {"dim": 32, "num_layers": 2, "head_width": 6, "pixel_width": 5, "motion_width": 4},
    "models.LatentPoseTokens": {
        **{"latent_channels": 3, "ray_channels": 24, "embed_dim": 7, "patch_size": 2, "dim": 11},
        "feature_channels": 5,
    },
    "models.PatchTokens": {"channels": 3, "embed_dim": 7, "patch_size": 2, "dim": 11},
    "models.movies.MoVieS": {
        **{"dim": 16, "num_layers": 4, "num_heads": 2, "encoder_layers": 1, "encoder_heads": 2},
        **{"patch_size": 3, "grid_size": 2, "kept_layers": [0, 1, 2, 3]},
        **{"level_widths": [4, 8, 12, 8], "head_width": 8, "time_dim": 6},
    },
}
# Modules that are not saved by themselves, and why.
_LAYER = "a layer that parts are built of; its folder lies below the hub"
LEFT_OUT = {
    "backbones.GivenVideoBackbone": "made of another backbone, which is saved",
    "pipelines.DecodedReconstructor": "made of a given reconstructor, which is saved or referred to",
    "backbones.CogVideoXBackbone": "made of given parts, each saved in its own folder",
    "backbones.DiffusersBackbone": "the base class",
    "backbones.WanBackbone": "made of given parts, each saved in its own folder",
    "backbones.CameraAdapter": "the base class",
    "backbones.WanFunCameraBackbone": "made of given parts, each saved in its own folder",
    "backbones.Switchable": "a base class without weights",
    "backbones.compact.CompactBackbone": "made of given parts, each saved in its own folder",
    "hub.HubModule": "the base class",
    "losses.LpipsDistance": "weights of another project, frozen",
    "losses.PhotometricLoss": "no weights of its own",
    "models.movies.MoVieSReconstructor": "made of a given network, which is saved in its own folder",
    "training.LatentAlignment": "made of a given part, which is saved in its own folder",
    "training.Objective": "made of given parts, each saved in its own folder",
    **dict.fromkeys(
        (
            *("transformer.CrossAttention", "transformer.FeedForward", "transformer.Modulation"),
            *("transformer.RMSNorm", "transformer.SelfAttention", "transformer.TransformerBlock"),
        ),
        _LAYER,
    ),
}


def public_modules() -> dict[str, type[nn.Module]]:
    """Subclasses of `nn.Module` among the public names of the folders."""
    found = {}
    for info in pkgutil.walk_packages(diff4splat.__path__, "diff4splat."):
        if info.ispkg:
            folder = import_module(info.name)
            for name in getattr(folder, "__all__", ()):
                value = getattr(folder, name)
                if isinstance(value, type) and issubclass(value, nn.Module):
                    found[f"{info.name.removeprefix('diff4splat.')}.{name}"] = value
    return found


def test_every_part_is_listed() -> None:
    assert sorted(public_modules()) == sorted([*PARTS, *LEFT_OUT])


@pytest.mark.parametrize("name", PARTS)
def test_part_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    kind = public_modules()[name]
    assert issubclass(kind, HubModule)
    part = kind(**PARTS[name])
    assert part.config | PARTS[name] == part.config, "the arguments are the config"
    with torch.no_grad():
        for value in part.parameters():
            value.add_(torch.rand_like(value))  # away from the values that every fresh part has
    part.save_pretrained(tmp_path)
    assert read_config(tmp_path)["_class"] == kind.__name__
    loaded = kind.from_pretrained(tmp_path)
    assert loaded.config == part.config
    assert list(loaded.state_dict()) == list(part.state_dict())
    for key, value in part.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
