"""OpenCV at first use, or a sentence that says what to install."""

from typing import Any

__all__ = ["opencv"]


def opencv(purpose: str) -> Any:
    """The module `cv2`.

    Args:
        purpose: What needs it, the start of the sentence.

    Returns:
        The module.

    Raises:
        ModuleNotFoundError: If it is missing.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{purpose} needs OpenCV: pip install "diff4splat[evaluation]"') from error
    return cv2
