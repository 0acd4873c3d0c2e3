"""Checks of what callers give to a pipeline."""

from numbers import Integral

from diff4splat.diffusion import ConstantGuidance, Guidance


def clean_prompt(prompt: object) -> str | None:
    """Prompt without blanks around it; None where nothing is left."""
    if prompt is None:
        return None
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be one string or None, got {type(prompt).__name__}.")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"prompt must be valid Unicode text, got a lone surrogate: {error}.") from None
    return prompt.strip() or None


def as_guidance(guidance: Guidance | float | int) -> Guidance:
    """Guidance, or the constant one of a number."""
    if isinstance(guidance, (int, float)):
        return ConstantGuidance(float(guidance))
    if not isinstance(guidance, Guidance):
        raise TypeError(f"guidance must be a number or a guidance schedule, got {type(guidance).__name__}.")
    return guidance


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """TypeError or ValueError where a value is no integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
