"""Any photograph a person has -> the two RGB tensors the pipeline reads.

Formats, rotation, transparency, bit depth and size are settled here, once; every refusal says what was
expected and what came. What is changed on the way (a crop, a background) is logged at level INFO.
"""

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "ImageSource",
    "PreparedImage",
    "centre_crop_box",
    "image_size",
    "prepare_image",
    "resize_image",
]

logger = logging.getLogger(__name__)

ImageSource: TypeAlias = Union[str, os.PathLike[str], "PIL.Image.Image", Tensor]
"""Path of an image file, a PIL image, or a float tensor `[3, height, width]` in [0, 1]."""


@dataclass(frozen=True)
class PreparedImage:
    """One photograph, upright, centre-cropped to the model's shape, at two sizes.

    Args:
        image: At the size the model takes, in [0, 1].
        detail: The same crop, as fine as asked for and as the photograph is, in [0, 1]; not below `image`.
        source_height: Height of the upright photograph before the crop, pixels.
        source_width: Width of the upright photograph before the crop, pixels.
    """

    image: Float[Tensor, "rgb=3 height width"]
    detail: Float[Tensor, "rgb=3 detail_height detail_width"]
    source_height: int
    source_width: int


def prepare_image(
    image: ImageSource,
    *,
    height: int,
    width: int,
    detail_size: int = 512,
    background: Literal["white", "black"] = "white",
) -> PreparedImage:
    """Read a photograph, turn it upright, make it RGB, and crop and resize it to what the model takes.

    Handled: every file format Pillow reads, EXIF rotation, grey, palette, CMYK, 16-bit, transparency (laid
    over `background`), embedded colour profiles (converted to sRGB), animations (first frame), and JPEG
    photographs of hundreds of megapixels.

    Args:
        image: Path of an image file, a PIL image, or a float tensor `[3, height, width]` in [0, 1].
        height: Height the model takes, pixels.
        width: Width the model takes, pixels.
        detail_size: Longest side the detail copy may have, pixels. The copy is no larger than the photograph,
            and no smaller than `height` x `width`.
        background: What shows through where the photograph is transparent.

    Returns:
        The photograph at both sizes.

    Raises:
        FileNotFoundError: If `image` is a path where nothing is.
        TypeError: If `image` is of another type, or an integer tensor.
        ValueError: If `image` is not readable as an image, is truncated, has a side under 16 pixels, has more
            pixels than can be decoded safely, or is a tensor of another shape or range.

    Examples:
        >>> import torch
        >>> prepared = prepare_image(torch.rand(3, 300, 500), height=128, width=128)
        >>> prepared.image.shape, prepared.detail.shape
        (torch.Size([3, 128, 128]), torch.Size([3, 300, 300]))
    """
    from diff4splat.pipelines.decoding import decode_upright, opened, picture_to_tensor

    if height < 1 or width < 1:
        raise ValueError(f"height and width must be positive, got {height} and {width}.")
    if detail_size < 1:
        raise ValueError(f"detail_size must be at least 1, got {detail_size}.")
    if background not in ("white", "black"):
        raise ValueError(f"background must be 'white' or 'black', got {background!r}.")
    aspect = width / height
    with opened(image) as (source, name):
        if isinstance(source, Tensor):
            source_height, source_width = source.shape[-2:]
            top, left, crop_height, crop_width = centre_crop_box(source_height, source_width, aspect=aspect)
            shape = _detail_shape(crop_height, crop_width, height, width, detail_size)
            detail = resize_image(source[:, top : top + crop_height, left : left + crop_width], shape)
        else:
            upright = decode_upright(
                source, name, is_file=source is not image, longest_side=detail_size, aspect=aspect
            )
            source_height, source_width = upright.height, upright.width
            _, _, crop_height, crop_width = centre_crop_box(source_height, source_width, aspect=aspect)
            shape = _detail_shape(crop_height, crop_width, height, width, detail_size)
            box = centre_crop_box(upright.picture.height, upright.picture.width, aspect=shape[1] / shape[0])
            detail = picture_to_tensor(upright.picture, box, shape, background=background)
    if (crop_height, crop_width) != (source_height, source_width):
        sizes = (source_width, source_height, crop_width, crop_height)
        logger.info("photograph of %dx%d pixels is centre-cropped to %dx%d", *sizes)
    return PreparedImage(
        image=resize_image(detail, (height, width)),
        detail=detail,
        source_height=source_height,
        source_width=source_width,
    )


def image_size(image: ImageSource) -> tuple[int, int]:
    """Height and width of a photograph once it is upright, from its header alone.

    Args:
        image: As for `prepare_image`.

    Returns:
        Height and width, pixels.

    Raises:
        FileNotFoundError: If `image` is a path where nothing is.
        TypeError: If `image` is of another type.
        ValueError: If `image` is of no known format or has a side under 16 pixels.
    """
    from diff4splat.pipelines.decoding import opened, upright_size

    with opened(image) as (source, name):
        if isinstance(source, Tensor):
            return source.shape[-2], source.shape[-1]
        return upright_size(source, name)


def centre_crop_box(height: int, width: int, *, aspect: float) -> tuple[int, int, int, int]:
    """Largest centred box of a given shape inside an image.

    The camera path is cropped by the same function, so that its rays stay on the photograph's pixels.

    Args:
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        aspect: Width over height of the box.

    Returns:
        Top, left, height and width of the box, pixels.

    Examples:
        >>> centre_crop_box(480, 640, aspect=1.0)
        (0, 80, 480, 480)
    """
    crop_width = min(width, max(1, round(height * aspect)))
    crop_height = min(height, max(1, round(width / aspect)))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def resize_image(
    image: Float[Tensor, "rgb=3 source_height source_width"], shape: tuple[int, int]
) -> Float[Tensor, "rgb=3 height width"]:
    """One image at another size: antialiased, bicubic, clamped to [0, 1].

    Args:
        image: In [0, 1].
        shape: New height and width, pixels.

    Returns:
        In [0, 1]; `image` itself where the size is the same.
    """
    if tuple(image.shape[-2:]) == shape:
        return image
    resized = functional.interpolate(
        image[None], size=shape, mode="bicubic", antialias=True, align_corners=False
    )
    return resized[0].clamp(0, 1)


def _detail_shape(
    crop_height: int, crop_width: int, height: int, width: int, detail_size: int
) -> tuple[int, int]:
    scale = min(crop_height / height, crop_width / width, detail_size / max(height, width))
    return max(height, round(height * scale)), max(width, round(width * scale))
