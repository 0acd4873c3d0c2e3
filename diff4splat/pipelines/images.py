"""Any photograph a person has -> the two RGB tensors the pipeline reads.

Formats, rotation, transparency, bit depth and size are settled here, once; every refusal says what was
expected and what came. What is changed on the way (a crop, a background) is logged at level INFO.
"""

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

__all__ = ["MAX_PIXELS", "MIN_SIDE", "ImageSource", "PreparedImage", "centre_crop_box", "prepare_image"]

logger = logging.getLogger(__name__)

ImageSource: TypeAlias = str | os.PathLike[str] | Image.Image | Tensor

MIN_SIDE = 16
"""Shortest side of a photograph that is accepted, pixels."""

MAX_PIXELS = 180_000_000
"""Most pixels that are decoded at once; a larger JPEG is decoded at a fraction of its size."""

_REDUCE_ABOVE_PIXELS = 40_000_000

_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class PreparedImage:
    """One photograph, upright, centre-cropped to the model's shape, at two sizes.

    Args:
        image: At the size the model takes, in [0, 1].
        detail: The same crop at an integer multiple of that size, in [0, 1]; `image` if that is all there is.
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
        detail_size: Longest side the detail copy may have, pixels. The copy is the largest integer multiple
            of `height` x `width` that neither exceeds this nor enlarges the photograph.
        background: What shows through where the photograph is transparent.

    Returns:
        The photograph at both sizes.

    Raises:
        FileNotFoundError: If `image` is a path where nothing is.
        TypeError: If `image` is of another type, or an integer tensor.
        ValueError: If `image` is not readable as an image, is truncated, has a side under 16 pixels, has more
            pixels than can be decoded safely, or is a tensor of another shape or range.

    Example:
        >>> prepared = prepare_image(torch.rand(3, 300, 500), height=128, width=128)
        >>> prepared.image.shape, prepared.detail.shape
        (torch.Size([3, 128, 128]), torch.Size([3, 256, 256]))
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be positive, got {height} and {width}.")
    aspect = width / height
    with _opened(image) as (source, name):
        if isinstance(source, Tensor):
            source_height, source_width = source.shape[-2:]
            top, left, crop_height, crop_width = centre_crop_box(source_height, source_width, aspect=aspect)
            shape = _detail_shape(crop_height, crop_width, height, width, detail_size)
            detail = _resize(source[:, top : top + crop_height, left : left + crop_width], shape)
        else:
            upright = _decode(
                source, name, is_file=source is not image, longest_side=detail_size, aspect=aspect
            )
            source_width, source_height = upright.full_size
            _, _, crop_height, crop_width = centre_crop_box(source_height, source_width, aspect=aspect)
            shape = _detail_shape(crop_height, crop_width, height, width, detail_size)
            detail = _to_tensor(_crop_and_resize(upright.picture, shape), background)
    if (crop_height, crop_width) != (source_height, source_width):
        sizes = (source_width, source_height, crop_width, crop_height)
        logger.info("photograph of %dx%d pixels is centre-cropped to %dx%d", *sizes)
    return PreparedImage(
        image=_resize(detail, (height, width)),
        detail=detail,
        source_height=source_height,
        source_width=source_width,
    )


def centre_crop_box(height: int, width: int, *, aspect: float) -> tuple[int, int, int, int]:
    """Largest centred box of a given shape inside an image.

    The camera path is cropped by the same function, so that its rays stay on the photograph's pixels.

    Args:
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        aspect: Width over height of the box.

    Returns:
        Top, left, height and width of the box, pixels.

    Example:
        >>> centre_crop_box(480, 640, aspect=1.0)
        (0, 80, 480, 480)
    """
    crop_width = min(width, max(1, round(height * aspect)))
    crop_height = min(height, max(1, round(width / aspect)))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


@dataclass(frozen=True)
class _Upright:
    """A decoded picture, perhaps at reduced size, and the size it has in full."""

    picture: Image.Image
    full_size: tuple[int, int]  # width, height, as PIL orders them


@contextmanager
def _opened(source: object) -> Iterator[tuple[Image.Image | Tensor, str]]:
    """The picture or tensor behind what the caller gave, and what to call it; closes what it opened."""
    if isinstance(source, Tensor):
        yield _check_tensor(source), "a tensor"
    elif isinstance(source, Image.Image):
        yield source, "a PIL image"
    elif isinstance(source, (str, os.PathLike)):
        with _open(Path(source)) as picture:
            yield picture, str(source)
    else:
        raise TypeError(
            "image must be a path, a PIL image or a float tensor [3, height, width], "
            f"got {type(source).__name__}."
        )


def _decode(picture: Image.Image, name: str, *, is_file: bool, longest_side: int, aspect: float) -> _Upright:
    full_width, full_height = picture.size
    if min(full_width, full_height) < MIN_SIDE:
        raise ValueError(
            f"image must be at least {MIN_SIDE} pixels on each side, got {full_width}x{full_height}: {name}"
        )
    if is_file and getattr(picture, "is_animated", False):
        logger.info("%s is animated: its first frame is used", name)
    # Twice the wanted detail is kept for the final filter, so that shrinking on decoding costs no sharpness.
    needed = 2 * max(longest_side, MIN_SIDE)
    factor = max(1.0, min(full_width, full_height) / (needed * max(1.0, aspect, 1 / aspect)))
    if is_file and isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.draft(None, (max(1, int(full_width / factor)), max(1, int(full_height / factor))))  # type: ignore[arg-type, no-untyped-call, unused-ignore]
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(
            f"image must have at most {MAX_PIXELS // 10**6} megapixels (a JPEG may have 64 times that), got "
            f"{full_width}x{full_height} ({full_width * full_height // 10**6} megapixels): {name}"
        )
    with _decoding(name):
        picture.load()
        orientation = _orientation(picture)
        if picture.width * picture.height > _REDUCE_ABOVE_PIXELS and picture.mode in (
            "L",
            "RGB",
            "RGBA",
            "CMYK",
        ):
            picture = picture.reduce(max(1, int(factor)))
        upright = _to_eight_bit(picture, name)
    if orientation:
        upright = upright.transpose(_UPRIGHT[orientation])
        logger.info("photograph is turned upright as its EXIF orientation %d says", orientation)
    turned = orientation in (5, 6, 7, 8)
    return _Upright(upright, (full_height, full_width) if turned else (full_width, full_height))


def _open(path: Path) -> ImageFile.ImageFile:
    """Open an image file, without Pillow's limit on JPEG files, which can be decoded small."""
    if path.is_dir():
        raise ValueError(f"image must be an image file, got a folder: {path}")
    if not path.exists():
        raise FileNotFoundError(f"image must be an existing file, got a path where nothing is: {path}")
    with _decoding(str(path)):
        try:
            return Image.open(path)
        except Image.DecompressionBombError:
            with path.open("rb") as file:
                is_jpeg = file.read(3) == b"\xff\xd8\xff"
            if not is_jpeg:
                raise
            return JpegImagePlugin.JpegImageFile(path)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into one ValueError in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except UnidentifiedImageError as error:
        heic = Path(name).suffix.lower() in (".heic", ".heif")
        hint = " (HEIC is not supported: export it as JPEG or PNG)" if heic else ""
        raise ValueError(
            f"image must be a JPEG, PNG, WebP, TIFF or similar, got no known format: {name}{hint}"
        ) from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"image must have at most {MAX_PIXELS // 10**6} megapixels unless it is a JPEG, got more: {name}"
        ) from error
    except (MemoryError, PermissionError, FileNotFoundError):
        raise
    except _RefusedImageError as error:
        raise ValueError(str(error)) from None
    except (
        Exception
    ) as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError, ... on damaged files
        raise ValueError(
            f"image must be a whole image file, got a damaged or truncated one: {name} ({error})"
        ) from error


class _RefusedImageError(Exception):
    """A picture that decodes but has no defined meaning as a photograph."""


def _to_eight_bit(picture: Image.Image, name: str) -> Image.Image:
    """The same picture in a mode that Pillow can filter: L, LA, RGB, RGBA or CMYK."""
    mode = picture.mode
    if mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return picture.convert("RGBA") if "transparency" in picture.info and mode in ("L", "RGB") else picture
    if mode == "1":
        return picture.convert("L")
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_scale_to_bytes(np.asarray(picture), name))
    has_alpha = mode in ("La", "RGBa", "PA") or "transparency" in picture.info
    return picture.convert("RGBA" if has_alpha else "RGB")


def _scale_to_bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Deep grey values to 0..255: 16-bit by its range, floating point from [0, 1]."""
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(values * 255).astype(np.uint8)
    if (
        values.dtype == np.int32 and low >= 0 and high <= 255
    ):  # 8-bit values in a wide type, as made by convert("I")
        return values.astype(np.uint8)
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return (values.astype(np.int64) >> 8).astype(np.uint8)
    raise _RefusedImageError(
        "image must have 8 or 16 bits per channel, or floats in [0, 1], "
        f"got {values.dtype} in [{low:g}, {high:g}]: {name}"
    )


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 2..8, or 0 for upright and for EXIF that cannot be read."""
    try:
        value = picture.getexif().get(0x0112, 1)
    except Exception as error:  # damaged EXIF says nothing about the pixels
        logger.info("EXIF data of the photograph cannot be read and is ignored (%s)", error)
        return 0
    return int(value) if isinstance(value, int) and 2 <= value <= 8 else 0


def _crop_and_resize(picture: Image.Image, shape: tuple[int, int]) -> Image.Image:
    height, width = shape
    top, left, crop_height, crop_width = centre_crop_box(picture.height, picture.width, aspect=width / height)
    return picture.resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(left, top, left + crop_width, top + crop_height),
        reducing_gap=3.0,
    )


def _to_tensor(picture: Image.Image, background: str) -> Float[Tensor, "rgb=3 height width"]:
    """Lay transparency over the background, convert to sRGB, and scale to [0, 1]."""
    profile = picture.info.get("icc_profile")
    if picture.mode in ("LA", "RGBA"):
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator, unused-ignore]
            logger.info("transparent parts of the photograph are shown over %s", background)
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, background), layer).convert("RGB")
    rgb = _to_srgb(picture, profile)
    return torch.from_numpy(np.array(rgb, dtype=np.uint8)).permute(2, 0, 1).float().div(255).contiguous()


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply the embedded colour profile where it fits the pixels; phones save Display P3."""
    if profile:
        try:
            from PIL import ImageCms

            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                picture, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (
            Exception
        ) as error:  # a profile of another colour space, a damaged one, or Pillow without LittleCMS
            logger.debug("embedded colour profile is ignored (%s)", error)
    return picture.convert("RGB")


def _check_tensor(image: Tensor) -> Float[Tensor, "rgb=3 height width"]:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must have shape [3, height, width], got {list(image.shape)}.")
    if not image.is_floating_point():
        raise TypeError(
            f"image must be a float tensor in [0, 1], got {image.dtype}; divide 8-bit values by 255."
        )
    if min(image.shape[-2:]) < MIN_SIDE:
        raise ValueError(
            f"image must be at least {MIN_SIDE} pixels on each side, got {image.shape[-1]}x{image.shape[-2]}."
        )
    low, high = (float(value) for value in torch.aminmax(image.detach()))
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise ValueError(f"image must have values in [0, 1], got [{low:g}, {high:g}].")
    return image.detach().float()


def _detail_shape(
    crop_height: int, crop_width: int, height: int, width: int, detail_size: int
) -> tuple[int, int]:
    by_photograph = min(crop_height // height, crop_width // width)
    by_request = detail_size // max(height, width)
    multiple = max(1, min(by_photograph, by_request))
    return height * multiple, width * multiple


def _resize(
    image: Float[Tensor, "rgb=3 source_height source_width"], shape: tuple[int, int]
) -> Float[Tensor, "rgb=3 height width"]:
    """Antialiased bicubic resize, clamped to [0, 1]."""
    if tuple(image.shape[-2:]) == shape:
        return image
    resized = functional.interpolate(
        image[None], size=shape, mode="bicubic", antialias=True, align_corners=False
    )
    return resized[0].clamp(0, 1)
