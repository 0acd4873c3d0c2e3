"""LPIPS as a metric: the numbers of the package, masks, specs and weights."""

import hashlib

import lpips
import pytest
import torch
from torchvision import models

from diff4splat.evaluation import LpipsMetric
from diff4splat.losses.lpips_network import lpips_network


@pytest.fixture(scope="module")
def drawn() -> LpipsMetric:
    return LpipsMetric(seed=0, images_at_once=2)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    image, target = torch.rand(2, 3, 3, 37, 41, generator=torch.Generator().manual_seed(0))
    return image, target


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_numbers_are_those_of_the_package(drawn, pair) -> None:
    """Drawn weights are the same draw, images go from [0, 1] to [-1, 1]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        package = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    image, target = pair
    expected = package(2 * image - 1, 2 * target - 1).flatten().detach()
    torch.testing.assert_close(drawn(image, target), expected, rtol=1e-5, atol=1e-8)
    assert (expected > 0).all()
    mask = torch.rand(3, 37, 41, generator=torch.Generator().manual_seed(1)) > 0.5
    package.spatial = True
    dark = [part * mask[:, None] for part in pair]
    maps = package(2 * dark[0] - 1, 2 * dark[1] - 1)[:, 0].detach()
    for index, found in enumerate(drawn(image, target, mask=mask)):
        assert found.item() == pytest.approx(maps[index][mask[index]].mean().item(), rel=1e-4)


def test_leading_axes_batches_and_types(drawn, pair) -> None:
    image, target = pair
    found = drawn(image, target)
    assert torch.equal(drawn(image[None, :, None], target[None, :, None]), found[None, :, None])
    single = drawn(image[2], target[2])
    assert single.shape == ()
    torch.testing.assert_close(single, found[2], rtol=1e-5, atol=0)
    assert drawn(image.double(), target.double()).dtype == torch.float64
    assert drawn(image[:0], target[:0]).shape == (0,)
    assert not drawn(image.requires_grad_(), target).requires_grad


def test_images_that_agree_are_not_apart_and_overshoot_is_clamped(drawn, pair) -> None:
    image, target = pair
    assert (drawn(target, target) == 0).all()
    wide = 1.4 * image - 0.2
    assert torch.equal(drawn(wide, target), drawn(wide.clamp(0, 1), target))


def test_what_is_masked_out_does_not_matter(drawn, pair) -> None:
    image, target = pair
    mask = torch.zeros(3, 37, 41, dtype=torch.bool)
    mask[:2, 5:30, 7:31] = True
    found = drawn(image, target, mask=mask)
    other = drawn(
        image.masked_fill(~mask[:, None], torch.nan), target.masked_fill(~mask[:, None], 9.0), mask=mask
    )
    assert torch.equal(found.nan_to_num(), other.nan_to_num())
    assert found.isnan().tolist() == [False, False, True]
    assert (found[:2] > 0).all()


def test_drawn_weights_say_so_and_leave_the_global_draws_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = LpipsMetric(seed=1), LpipsMetric(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not first.spec.trained
    assert first.spec.weights == "seed 1"
    assert first.spec.key != second.spec.key
    assert "AlexNet" in str(first.spec)


def test_weights_of_a_file_are_read_and_hashed(tmp_path, pair, monkeypatch) -> None:
    """From a path and from the cache the same file gives the same numbers and the same spec."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    file = tmp_path / "checkpoints" / models.AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    file.parent.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(models.alexnet(weights=None).state_dict(), file)
    given, cached = LpipsMetric(weights=file), LpipsMetric()
    assert given.spec == cached.spec
    assert given.spec.trained
    assert given.spec.weights == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert "BSD" in given.spec.licence
    assert torch.equal(given(*pair), cached(*pair))
    # torchvision draws the same network with that seed, so the weights did arrive
    torch.testing.assert_close(given(*pair), LpipsMetric(seed=0)(*pair))
    assert not torch.equal(given(*pair), LpipsMetric(seed=1)(*pair))


@pytest.mark.parametrize("net", ["vgg", "squeeze"])
def test_files_of_every_network_fit_their_slices(net, tmp_path, monkeypatch) -> None:
    """Without the classifier, which LPIPS does not use; shrunk to small constants that can be told apart."""
    with torch.random.fork_rng(devices=[]):
        drawn, _ = lpips_network(net, seed=0)
    state = {
        "features." + name.partition(".")[2]: torch.full_like(value, index / 100)
        for index, (name, value) in enumerate(drawn.net.state_dict().items())
    }
    torch.save(state, tmp_path / "weights.pth")
    model, file = lpips_network(net, weights=tmp_path / "weights.pth")
    assert file == tmp_path / "weights.pth"
    for index, value in enumerate(model.net.state_dict().values()):
        assert (value == index / 100).all()


def test_errors(tmp_path, drawn, pair, monkeypatch, without_shape_checker) -> None:
    image, target = pair
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"alex weights.*alexnet.*download=True"):
        LpipsMetric()
    with pytest.raises(
        FileNotFoundError, match=r"weights must be a file with the vgg weights, got .*nowhere"
    ):
        LpipsMetric("vgg", weights=tmp_path / "nowhere.pth")
    with pytest.raises(ValueError, match='net must be "alex" or "vgg", got \'squeeze\''):
        LpipsMetric("squeeze")
    with pytest.raises(ValueError, match="not be given both"):
        LpipsMetric(weights=tmp_path / "nowhere.pth", seed=0)
    with pytest.raises(ValueError, match="images_at_once must be at least 1, got 0"):
        LpipsMetric(seed=0, images_at_once=0)
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"weights must be those of alex of torchvision, got .*other\.pth"):
        LpipsMetric(weights=tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"image must have values in \[0, 1\]"):
        drawn(255 * image, target)
    with pytest.raises(ValueError, match="sides of at least 32, got 31 x 41"):
        drawn(image[..., :31, :], target[..., :31, :])
    with pytest.raises(ValueError, match="target must have the shape of image"):
        drawn(image, target[0])
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(ModuleNotFoundError, match="pip install lpips torchvision"):
        LpipsMetric(seed=0)
