"""SIFT finds the same places again, and nothing where nothing is shared."""

import pytest
import torch
from torch.nn import functional

from diff4splat.evaluation import SiftMatcher
from diff4splat.evaluation.extractors import Matcher

HEIGHT, WIDTH = 127, 151


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """Soft spots of many sizes."""
    generator = torch.Generator().manual_seed(seed)
    image = sum(
        functional.interpolate(
            torch.rand(1, 3, height // side, width // side, generator=generator),
            (height, width),
            mode="bicubic",
        )
        for side in (5, 11, 23)
    )
    return (image[0] / 3 * 255).clamp(0, 255).byte()


def warped(image: torch.Tensor, homography: torch.Tensor) -> torch.Tensor:
    """The image after a homography of pixels (centres at +0.5), by the inverse map."""
    _, height, width = image.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    target = torch.stack((columns + 0.5, rows + 0.5, torch.ones(height, width)), dim=-1).double()
    source = target @ torch.linalg.inv(homography).T
    places = source[..., :2] / source[..., 2:] / torch.tensor([width, height]) * 2 - 1
    sampled = functional.grid_sample(
        image[None].double(), places[None], mode="bicubic", padding_mode="border", align_corners=False
    )
    return sampled[0].round().clamp(0, 255).byte()


def test_an_image_matches_itself_at_all_its_places() -> None:
    image = texture(0)
    matcher = SiftMatcher(ratio=None)
    matches = matcher(image, image)
    places, _ = matcher.points(image)
    assert len(matches) == len(places.unique(dim=0)) > 150
    assert torch.equal(matches.first, matches.second)
    assert torch.equal(matches.first, places.unique(dim=0))


def test_unrelated_images_share_almost_nothing() -> None:
    one, other = texture(1), texture(8)
    matcher = SiftMatcher()
    whole = len(matcher(one, one))
    assert whole > 150 and len(matcher(one, other)) < 0.02 * whole
    # without the ratio test, mutual neighbours agree by chance: the reason for the default
    assert len(SiftMatcher(ratio=None)(one, other)) > 0.1 * whole


def test_a_known_homography_is_recovered() -> None:
    angle = torch.tensor(0.2, dtype=torch.float64)
    homography = torch.tensor([[1.0, 0, 9], [0, 1, -7], [3e-4, -2e-4, 1]], dtype=torch.float64)
    homography[:2, :2] = 1.1 * torch.tensor(
        [[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]], dtype=torch.float64
    )
    image = texture(2)
    matches = SiftMatcher()(image, warped(image, homography))
    points = functional.pad(matches.first.double(), (0, 1), value=1.0) @ homography.T
    errors = (points[:, :2] / points[:, 2:] - matches.second).norm(dim=-1)
    assert len(matches) > 100
    # Pitfall: OpenCV counts from the centre of the first pixel; without +0.5 all would be off by the turn
    assert errors.median() < 0.15 and (errors < 1).double().mean() > 0.9


def test_a_shift_is_found_without_bias() -> None:
    image = texture(3, 139, 163)
    matches = SiftMatcher()(image[:, :HEIGHT, :WIDTH], image[:, 4 : 4 + HEIGHT, 7 : 7 + WIDTH])
    shift = (matches.second - matches.first).median(0).values
    torch.testing.assert_close(shift, torch.tensor([-7.0, -4.0]), atol=0.01, rtol=0)


def test_places_have_pixel_centres_at_one_half() -> None:
    """A spot around the middle of pixel (41, 67) is at x = 67.5, y = 41.5."""
    rows, columns = torch.meshgrid(torch.arange(89.0), torch.arange(131.0), indexing="ij")
    spot = (-((rows - 41) ** 2 + (columns - 67) ** 2) / (2 * 3.0**2)).exp()
    places, _ = SiftMatcher().points((spot * 200).byte().expand(3, -1, -1))
    nearest = (places - torch.tensor([67.5, 41.5])).norm(dim=-1).min()
    assert nearest < 0.1


def test_a_flat_image_has_no_matches_and_runs_repeat() -> None:
    flat = torch.full((3, HEIGHT, WIDTH), 97, dtype=torch.uint8)
    matcher = SiftMatcher()
    assert len(matcher(flat, texture(4))) == len(matcher(texture(4), flat)) == 0
    one, other = matcher(texture(4), texture(5)), matcher(texture(4), texture(5))
    assert torch.equal(one.first, other.first) and torch.equal(one.second, other.second)


def test_the_limit_of_points_holds_and_the_spec_says_it() -> None:
    matcher = SiftMatcher(max_features=53, ratio=0.7)
    assert isinstance(matcher, Matcher)
    # OpenCV keeps ties of the contrast and several directions of a place
    assert 0 < len(matcher(texture(6), texture(6))) <= 60
    assert "at most 53 points" in str(matcher.spec) and "ratio 0.7" in str(matcher.spec)
    assert matcher.spec.key != SiftMatcher(max_features=59, ratio=0.7).spec.key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_features": 0}, "max_features must be at least 1, got 0"),
        ({"ratio": 1.5}, r"ratio must lie in \(0, 1\], got 1.5"),
        ({"contrast": -0.1}, r"contrast must lie in \[0, 1\), got -0.1"),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SiftMatcher(**options)
