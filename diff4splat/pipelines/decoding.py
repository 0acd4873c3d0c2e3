"""Image files and pictures of every kind, decoded to upright 8-bit pictures or refused in words.

Loaded with the first photograph, because it brings Pillow.
"""

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "UprightPicture",
    "decode_upright",
    "opened",
    "picture_to_tensor",
    "tensor_to_picture",
    "upright_size",
]

logger = logging.getLogger(__name__)

MIN_SIDE = 16
"""Shortest side of a photograph that is accepted, pixels."""

MAX_PIXELS = 120_000_000
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
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


@contextmanager
def opened(source: object) -> Iterator[tuple[Image.Image | Tensor, str]]:
    """The picture or tensor behind what the caller gave; closes what it opened.

    Args:
        source: Path, PIL image or float tensor.

    Yields:
        The undecoded picture or the checked tensor, and what errors call it.

    Raises:
        FileNotFoundError: If `source` is a path where nothing is.
        TypeError: If `source` is of another type, or an integer tensor.
        ValueError: If `source` is no image file, or a tensor of another shape or range.
    """
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


@dataclass(frozen=True)
class UprightPicture:
    """A decoded picture, turned upright, perhaps at reduced size.

    Args:
        picture: Pixels of mode L, LA, RGB, RGBA or CMYK.
        height: Height of the picture in full, pixels.
        width: Width of the picture in full, pixels.
    """

    picture: Image.Image
    height: int
    width: int


def upright_size(picture: Image.Image, name: str) -> tuple[int, int]:
    """Height and width of a picture once it is upright, from its header where that is enough.

    Args:
        picture: As `opened` gives it.
        name: What errors call it.

    Returns:
        Height and width, pixels.

    Raises:
        ValueError: If a side is under 16 pixels, or a TIFF is damaged.
    """
    _check_sides(*picture.size, name)
    if picture.format == "TIFF":  # newer versions of Pillow turn a TIFF on loading, older ones do not
        with _decoding(name):
            picture.load()
    width, height = picture.size
    return (width, height) if _orientation(picture) in _SIDEWAYS else (height, width)


def decode_upright(
    picture: Image.Image, name: str, *, is_file: bool, longest_side: int, aspect: float
) -> UprightPicture:
    """Decode, shrink what is far larger than needed, and apply the EXIF rotation.

    Args:
        picture: As `opened` gives it.
        name: What errors call it.
        is_file: Whether the picture was opened here and so may be decoded at a reduced size.
        longest_side: Longest side that will be asked of the centre crop, pixels.
        aspect: Width over height of that crop.

    Returns:
        The picture, at least twice as fine as will be asked for if it was so before.

    Raises:
        ValueError: If the picture is too small or too large, damaged, or of a bit depth without meaning.
    """
    full_width, full_height = picture.size
    _check_sides(full_width, full_height, name)
    if is_file and getattr(picture, "is_animated", False):
        logger.info("%s is animated: its first frame is used", name)
    # Twice the wanted detail is kept for the final filter, so that shrinking on decoding costs no sharpness.
    needed = 2 * max(longest_side, MIN_SIDE)
    factor = max(1.0, min(full_width, full_height) / (needed * max(1.0, aspect, 1 / aspect)))
    if is_file and isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.draft(None, (max(1, int(full_width / factor)), max(1, int(full_height / factor))))
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(
            f"image must have at most {MAX_PIXELS // 10**6} megapixels (a JPEG may have 64 times that), got "
            f"{full_width}x{full_height} ({full_width * full_height // 10**6} megapixels): {name}"
        )
    if picture.format == "EPS":  # reading it would start another program
        raise ValueError(f"image must be a picture of pixels such as JPEG or PNG, got EPS: {name}")
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
    height, width = (full_width, full_height) if orientation in _SIDEWAYS else (full_height, full_width)
    return UprightPicture(upright, height=height, width=width)


def tensor_to_picture(image: Float[Tensor, "rgb=3 height width"]) -> Image.Image:
    """RGB picture of 8 bits of a tensor with values in [0, 1]."""
    return Image.fromarray((image * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def picture_to_tensor(
    picture: Image.Image, box: tuple[int, int, int, int], shape: tuple[int, int], *, background: str
) -> Float[Tensor, "rgb=3 height width"]:
    """Cut, resize, lay transparency over a background, and convert to sRGB.

    Args:
        picture: Of mode L, LA, RGB, RGBA or CMYK, as `decode_upright` gives it.
        box: Top, left, height and width of the part to show, pixels.
        shape: Height and width of the result.
        background: Name of the colour that shows through where the picture is transparent.

    Returns:
        Values in [0, 1].
    """
    top, left, height, width = box
    resized = picture.resize(
        (shape[1], shape[0]),
        Image.Resampling.LANCZOS,
        box=(left, top, left + width, top + height),
        reducing_gap=3.0,
    )
    profile = resized.info.get("icc_profile")
    if resized.mode in ("LA", "RGBA"):
        layer = resized.convert("RGBA")
        if layer.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator, unused-ignore]
            logger.info("transparent parts of the photograph are shown over %s", background)
        resized = Image.alpha_composite(Image.new("RGBA", layer.size, background), layer).convert("RGB")
    rgb = _to_srgb(resized, profile)
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


def _check_sides(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise ValueError(
            f"image must be at least {MIN_SIDE} pixels on each side, got {width}x{height}: {name}"
        )


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
        count = re.search(r"(\d+) pixels", str(error))
        got = f"{int(count[1]) // 10**6} megapixels" if count else "more"
        raise ValueError(
            f"image must have at most {MAX_PIXELS // 10**6} megapixels unless it is a JPEG, got {got}: {name}"
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
        return (values >> 8).astype(np.uint8)
    raise _RefusedImageError(
        "image must have 8 or 16 bits per channel, or floats in [0, 1], "
        f"got {values.dtype} in [{low:g}, {high:g}]: {name}"
    )


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 2..8, or 0 for upright and for EXIF that cannot be read."""
    try:
        value = picture.getexif().get(0x0112, 1)
    except Exception as error:  # damaged EXIF says nothing about the pixels
        logger.debug("EXIF data of the photograph cannot be read and is ignored (%s)", error)
        return 0
    return int(value) if isinstance(value, int) and 2 <= value <= 8 else 0


def _check_tensor(image: Tensor) -> Float[Tensor, "rgb=3 height width"]:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must have shape [3, height, width], got {list(image.shape)}.")
    if not image.is_floating_point():
        raise TypeError(
            f"image must be a float tensor in [0, 1], got {image.dtype}; divide 8-bit values by 255."
        )
    _check_sides(image.shape[-1], image.shape[-2], "a tensor")
    low, high = (float(value) for value in torch.aminmax(image.detach()))
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise ValueError(f"image must have values in [0, 1], got [{low:g}, {high:g}].")
    return image.detach().float()
