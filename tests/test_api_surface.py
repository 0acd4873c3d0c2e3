"""Public names change only on purpose: `python tests/api_surface.py` writes the new list."""

import json
from importlib import import_module

import pytest
from api_surface import PACKAGE, SURFACE, public_names

# What examples and outside code may rely on from one release to the next.
CONTRACT = {
    "diff4splat": "Diff4SplatPipeline LDRM DeformableGaussianField Gaussians Cameras render",
    "diff4splat.backbones": "VideoBackbone LatentSpec register_backbone",
    "diff4splat.cameras": "Cameras PluckerEmbedding plucker_rays trajectory",
    "diff4splat.diffusion": "flow_matching_loss CosineGuidance ConstantGuidance",
    "diff4splat.gaussians": "Gaussians DeformableGaussianField deform_gaussians",
    "diff4splat.geometry": "quaternion_multiply quaternion_conjugate quaternion_normalize quaternion_rotate "
    "quaternion_slerp quaternion_to_matrix matrix_to_quaternion project unproject",
    "diff4splat.losses": "pearson_depth_loss total_variation_loss motion_loss PhotometricLoss",
    "diff4splat.models": "LDRM",
    "diff4splat.pipelines": "Diff4SplatPipeline",
    "diff4splat.rendering": "render Rendering",
}


def test_public_names_are_the_recorded_ones() -> None:
    assert public_names() == json.loads(SURFACE.read_text())


def test_the_contract_is_public() -> None:
    names = public_names()
    missing = {
        module: set(wanted.split()) - set(names.get(module, [])) for module, wanted in CONTRACT.items()
    }
    assert not {module: lacking for module, lacking in missing.items() if lacking}


def test_every_public_name_exists() -> None:
    lacking = [
        f"{module}.{name}"
        for module, names in public_names().items()
        for name in names
        if not hasattr(import_module(module), name)
    ]
    assert lacking == []


@pytest.mark.parametrize(
    "part", ["cameras", "diffusion", "gaussians", "geometry", "losses", "models", "transformer"]
)
def test_what_a_building_block_s_file_offers_its_folder_offers(part: str) -> None:
    """A public name of a file is one of its folder too, or that of a module which the folder offers."""
    folder = import_module(f"diff4splat.{part}")
    kept_inside = {
        *("convolutions", "curves", "field_decoding", "inputs"),
        *("latent_frames", "ldrm_inputs", "ldrm_sizes", "lpips_network"),
    }
    for path in (PACKAGE / part).glob("[!_]*.py"):
        if path.stem not in kept_inside | set(folder.__all__):
            offered = import_module(f"diff4splat.{part}.{path.stem}").__all__
            assert set(offered) <= set(folder.__all__), path.name
