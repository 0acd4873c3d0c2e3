"""SIFT with mutual nearest neighbours: matches without learned weights."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.opencv import opencv
from diff4splat.evaluation.extractors.protocols import Matches
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.matching import mutual_nearest_neighbours

__all__ = ["SiftMatcher"]


class SiftMatcher:
    r"""Matches of SIFT descriptors that are each other's nearest neighbours, by OpenCV.

    Points are found in the grey image, at most `max_features` of the highest contrast. Descriptors are turned
    into RootSIFT: divided by their sum, then the root of each number, so that Euclidean distance compares
    histograms as Hellinger's distance does. Source: Lowe 2004; Arandjelovic and Zisserman 2012.

    Deterministic. A place with several directions counts once. What is counted are distinctive places that
    stay recognisable. It is not the count of MASt3R, which the paper reports: that one takes at most one
    match per seed of a grid, 4,096 with its default of 64 x 64 seeds, also where nothing is distinctive. (The
    paper reports 5,114, so its grid was another one.)

    Args:
        max_features: Most points of an image.
        ratio: Largest accepted ratio of the distances to the nearest and the second nearest; None takes all
            mutual neighbours, of which a few agree by chance in any two images.
        contrast: Contrast below which a point is dropped, as OpenCV counts it.

    Raises:
        ValueError: If an option is out of range.
        ModuleNotFoundError: If OpenCV is missing.

    Examples:
        >>> image = torch.randint(256, (3, 61, 67), dtype=torch.uint8, generator=torch.manual_seed(0))
        >>> matches = SiftMatcher()(image, image)
        >>> bool((matches.first == matches.second).all())
        True
    """

    def __init__(
        self, *, max_features: int = 8192, ratio: float | None = 0.8, contrast: float = 0.02
    ) -> None:
        if max_features < 1:
            raise ValueError(f"max_features must be at least 1, got {max_features}.")
        if ratio is not None and not 0 < ratio <= 1:
            raise ValueError(f"ratio must lie in (0, 1], got {ratio}.")
        if not 0 <= contrast < 1:
            raise ValueError(f"contrast must lie in [0, 1), got {contrast}.")
        self._max_features = max_features
        self._ratio = ratio
        self._contrast = contrast
        test = "no ratio test" if ratio is None else f"ratio {ratio:g}"
        self._spec = ExtractorSpec(
            name=f"SIFT, OpenCV {opencv('SIFT').__version__}",
            layer=f"RootSIFT, mutual nearest neighbours, {test}",
            preprocessing=(
                f"grey, own size, at most {max_features} points of contrast {contrast:g}, no grid of seeds"
            ),
            weights="none",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is; images keep their size, which changes counts and has to be said beside them."""
        return self._spec

    def __call__(
        self,
        first: UInt8[Tensor, "rgb=3 height width"],
        second: UInt8[Tensor, "rgb=3 height width"],
    ) -> Matches:
        """Match two images of one size.

        Args:
            first: RGB.
            second: RGB.

        Returns:
            The matches, each pair of places once, from left to right in the first image.
        """
        places, descriptors = zip(*(self.points(image) for image in (first, second)), strict=True)
        pairs = mutual_nearest_neighbours(*descriptors, ratio=self._ratio)
        joined = torch.cat((places[0][pairs[:, 0]], places[1][pairs[:, 1]]), dim=-1).unique(dim=0)
        return Matches(joined[:, :2].contiguous(), joined[:, 2:].contiguous())

    def points(
        self, image: UInt8[Tensor, "rgb=3 height width"]
    ) -> tuple[Float[Tensor, "point xy=2"], Float[Tensor, "point feature=128"]]:
        """Points of an image, and what they look like.

        Args:
            image: RGB.

        Returns:
            x and y in pixels, centres of pixels at +0.5, and descriptors of length 1. A place with several
            directions is there several times.
        """
        cv2 = opencv("SIFT")
        grey = cv2.cvtColor(image.cpu().permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
        detector = cv2.SIFT_create(
            nfeatures=self._max_features, contrastThreshold=self._contrast, enable_precise_upscale=True
        )
        found, histograms = detector.detectAndCompute(grey, None)
        if not found:
            return torch.empty(0, 2), torch.empty(0, 128)
        places = torch.tensor([point.pt for point in found]) + 0.5
        values = torch.from_numpy(histograms)
        return places, (values / values.sum(-1, keepdim=True).clamp_min(1)).sqrt()
