"""Frames that lie in a folder as pictures: which files, in which order, of which size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diff4splat.files import natural_order

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["IMAGE_FOLDERS", "PICTURES", "check_shape", "opened_picture", "picture_files", "picture_size"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""How names of pictures end, in small letters."""

IMAGE_FOLDERS = ("images", "images_2", "images_4", "images_8")
"""Folders of one set of pictures in several sizes, the largest first; the number divides the sides."""


def picture_files(folder: Path) -> list[Path]:
    """Pictures of a folder, by the numbers in their names; hidden files are left out.

    Args:
        folder: The folder; those inside it are not looked into.

    Returns:
        Files; none where there is no such folder.
    """
    if not folder.is_dir():
        return []
    files = [file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != "."]
    return sorted(files, key=lambda file: natural_order(file.name))


def picture_size(file: Path) -> tuple[int, int]:
    """Height and width of a picture, whose pixels are not decoded.

    Args:
        file: Picture that Pillow reads.

    Returns:
        Rows and columns.

    Raises:
        ValueError: If it cannot be read; names it.
        FileNotFoundError: If it is missing.
    """
    with opened_picture(file) as picture:
        return picture.height, picture.width


@contextmanager
def opened_picture(file: Path) -> Iterator["PIL.Image.Image"]:
    """A picture that is open; what is wrong with it, also when it is decoded, is said with its name.

    Args:
        file: Picture that Pillow reads.

    Yields:
        The picture.

    Raises:
        ValueError: If it cannot be read; names it.
        FileNotFoundError: If it is missing.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            yield picture
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is not a readable picture: {error}") from error


def check_shape(file: Path, found: tuple[int, int], stated: tuple[int, int]) -> None:
    """Refuse pictures that are not the stated ones made smaller, for their lens would not fit.

    Args:
        file: Where the pictures are, for the message.
        found: Height and width of the pictures.
        stated: Height and width that the lens belongs to.

    Raises:
        ValueError: If the sides are in another proportion, beyond one pixel of rounding.
    """
    scale = max(found[0] / stated[0], found[1] / stated[1])
    if any(abs(side - full * scale) > 1.01 for side, full in zip(found, stated, strict=True)):
        raise ValueError(
            f"{file} must hold pictures in the proportion of {stated[1]} x {stated[0]}, whose lens is known, "
            f"got {found[1]} x {found[0]}."
        )
