"""How the reconstruction model computes: features, attention, poses, memory, compilation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models.parts import field_values, latents, path, small_ldrm

from diff4splat.cameras import Cameras
from diff4splat.models import LDRM

FRAMES, HEIGHT, WIDTH = 9, 32, 48
TIMES = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)


def clip(batch: int = 1) -> tuple[torch.Tensor, Cameras]:
    return latents(batch, 3, 3, 4, 6), path(batch, FRAMES, HEIGHT, WIDTH)


def photo() -> torch.Tensor:
    return torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_features_change_nothing_at_first_and_something_later() -> None:
    plain, fresh, stirred = (
        small_ldrm(fresh=True),
        small_ldrm(fresh=True, feature_channels=5),
        small_ldrm(feature_channels=5),
    )
    fresh.load_state_dict(plain.state_dict(), strict=False)
    seen, other = latents(1, 3, 5, 2, 3, seed=4), latents(1, 3, 5, 2, 3, seed=5)
    expected = plain.encode(*clip()).gaussian_map
    assert torch.equal(fresh.encode(*clip(), features=seen).gaussian_map, expected)
    first, second = (stirred.encode(*clip(), features=f).gaussian_map for f in (seen, other))
    assert (first - second).abs().max() > 1e-3


def test_features_are_read_on_the_latent_grid_and_on_that_of_the_tokens() -> None:
    model = small_ldrm(feature_channels=5)
    coarse = latents(1, 3, 5, 2, 3, seed=4)
    fine = coarse.repeat_interleave(2, -1).repeat_interleave(2, -2)
    first, second = (model.encode(*clip(), features=f).gaussian_map for f in (coarse, fine))
    torch.testing.assert_close(first, second, atol=1e-12, rtol=0)
    uneven = fine.clone()
    uneven[..., 0, 0] += 1
    uneven[..., 1, 1] -= 1  # the mean of the square stays
    third = model.encode(*clip(), features=uneven).gaussian_map
    torch.testing.assert_close(first, third, atol=1e-12, rtol=0)


def test_features_scaled_as_a_whole_are_the_same_features() -> None:
    model = small_ldrm(feature_channels=5)
    given = latents(1, 3, 5, 2, 3, seed=4)
    first, second = (model.encode(*clip(), features=f).gaussian_map for f in (given, 1000 * given))
    # the norm keeps 1e-6 of its own beside the mean square
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_a_model_of_features_alone_is_one_whose_latents_they_are() -> None:
    model = small_ldrm(latent_channels=29, spatial_stride=16, patch_size=1)  # the token grid of 2 x 2 latents
    features = latents(1, 3, 29, 2, 3, seed=4).requires_grad_()
    field = model(features, clip()[1], times=TIMES)
    (field.canonical.means.sum() + field.delta_means.sum()).backward()
    assert (features.grad != 0).all()


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"features are needed: the model was built with feature_channels=5\."),
        (
            latents(1, 3, 7, 4, 6),
            r"shape \[1, 3, 5, 4, 6\] or \[1, 3, 5, 2, 3\] \(the latent grid or the token grid\), "
            r"got \[1, 3, 7, 4, 6\]\.",
        ),
        (latents(1, 3, 5, 4, 5), r"got \[1, 3, 5, 4, 5\]"),
        (latents(1, 2, 5, 4, 6), r"got \[1, 2, 5, 4, 6\]"),
        (latents(1, 3, 5, 4, 6)[0], r"got \[3, 5, 4, 6\]"),
    ],
)
def test_features_that_do_not_fit_are_refused(given, message) -> None:
    model = small_ldrm(feature_channels=5)
    with pytest.raises(ValueError, match=message):
        model.encode(*clip(), features=given)


def test_features_that_nothing_reads_are_refused() -> None:
    message = r"features must be None for feature_channels=0, got a tensor of \[1, 3, 5, 2, 3\]\."
    with pytest.raises(ValueError, match=message):
        small_ldrm().encode(*clip(), features=latents(1, 3, 5, 2, 3))
    one_grid = small_ldrm(patch_size=1, feature_channels=5)
    with pytest.raises(ValueError, match=r"shape \[1, 3, 5, 4, 6\] \(the latent grid"):
        one_grid.encode(*clip(), features=latents(1, 3, 5, 2, 3))


def test_factorised_attention_has_the_weights_of_full_attention_and_another_reach() -> None:
    options = {"num_layers": 1, "patch_size": 1}  # one block: within frames
    full, factorized = small_ldrm(**options), small_ldrm(attention="factorized", **options)
    factorized.load_state_dict(full.state_dict())
    z, cameras = clip()
    changed = z.clone()
    changed[:, 2] += 1
    for model, reached in ((full, True), (factorized, False)):
        before, after = (model.encode(each, cameras).levels[-1] for each in (z, changed))
        assert (before[:, 0] != after[:, 0]).any().item() is reached
        assert (before[:, 2] != after[:, 2]).any()
    deeper = small_ldrm(attention="factorized", num_layers=2, patch_size=1)
    before, after = (deeper.encode(each, cameras).levels[-1] for each in (z, changed))
    assert (before[:, 0] != after[:, 0]).all(-1).all(), "a second block, over time, reaches every frame"


def test_vectors_do_not_tell_the_focal_length_and_rays_do() -> None:
    z, cameras = clip()
    longer = cameras.intrinsics.clone()
    longer[..., 0, 0] *= 1.1
    zoomed = Cameras(cameras.camera_to_world, longer, HEIGHT, WIDTH)
    for encoding, told in (("vectors", False), ("plucker", True)):
        model = small_ldrm(pose_encoding=encoding)
        first, second = (model.encode(z, each).gaussian_map for each in (cameras, zoomed))
        assert (first != second).any().item() is told


@pytest.mark.usefixtures("without_shape_checker")
def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="attention must be 'full' or 'factorized', got 'sparse'"):
        LDRM(attention="sparse")
    with pytest.raises(ValueError, match="pose_encoding must be 'plucker' or 'vectors', got 'euler'"):
        LDRM(pose_encoding="euler")


@pytest.mark.parametrize("options", [{}, {"attention": "factorized", "every_frame": True}])
def test_checkpointing_keeps_results_and_gradients_in_less_memory(options) -> None:
    model = small_ldrm(**options)
    z, cameras = clip()
    results = []
    for checkpointed in (False, True):
        model.gradient_checkpointing = checkpointed
        model.zero_grad()
        leaf, kept = z.clone().requires_grad_(), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            features = model.encode(leaf, cameras, image=photo())
        field = model.decode(features, TIMES, image=photo())
        sum(value.square().sum() for value in field_values(field).values()).backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        results.append((sum(kept), [leaf.grad, *gradients, *field_values(field).values()]))
    (full, plain), (reduced, again) = results
    assert reduced < full / 3
    assert all(torch.equal(first, second) for first, second in zip(plain, again, strict=True))


COMPILED = """
import torch
from models.parts import latents, path, small_ldrm
from torch._dynamo.utils import counters

model = small_ldrm(num_layers=5, attention="factorized", feature_channels=5)
z, cameras, times = latents(1, 3, 3, 4, 6), path(1, 9, 32, 48), torch.tensor([[0.0, 0.4]]).double()
features = latents(1, 3, 5, 2, 3, seed=4)

def run():
    leaf = z.clone().requires_grad_()
    encoded = model.encode(leaf, cameras, features=features)
    moved = model.deform(encoded, times)
    (encoded.gaussian_map.square().sum() + moved.square().sum()).backward()
    return encoded.gaussian_map, moved, leaf.grad

expected = run()
model.compile(fullgraph=True, backend="eager")  # an error where the graph breaks
for first, second in zip(run(), expected):
    torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-10)
assert not counters["graph_break"], counters
# tokens, both heads, and one block for all five, once within frames and once over time
assert counters["stats"]["unique_graphs"] == 5, counters
"""


@pytest.mark.slow
def test_network_compiles_without_graph_breaks() -> None:
    """In a process of its own, without the shape checker of this test suite."""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
