"""Slopes of functions of arrays along a direction, by central differences in float64."""


def slope(function, arrays, directions, step=1e-5):
    """Derivative of `function(*arrays)`, a number, when every array moves along its direction."""
    ahead = [array + step * direction for array, direction in zip(arrays, directions, strict=True)]
    behind = [array - step * direction for array, direction in zip(arrays, directions, strict=True)]
    return (function(*ahead) - function(*behind)) / (2 * step)
