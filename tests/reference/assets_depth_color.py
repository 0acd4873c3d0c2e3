"""Lightness of OKLab from sRGB, by the forward formulas (the library uses the inverse ones).

Source: B. Ottosson, "A perceptual color space for image processing", 2020.
"""


def oklab_lightness(red: float, green: float, blue: float) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (red, green, blue)
    ]
    cones = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    weights = (0.2104542553, 0.7936177850, -0.0040720468)
    total = 0.0
    for row, weight in zip(cones, weights, strict=True):
        response = sum(share * value for share, value in zip(row, linear, strict=True))
        total += weight * response ** (1 / 3)
    return total
