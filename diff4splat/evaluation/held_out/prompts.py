"""Two prompts for one scene that differ in the direction of motion alone."""

import re

__all__ = ["direction_prompts"]

_VERBS = (
    "moves slides drifts travels rises floats goes falls drops sinks comes approaches recedes spins rotates "
    "turns bounces hops jumps swings sways rocks stays stands rests does"
)
_SUBJECT = re.compile(rf"^(?:an?|the) (?P<subject>.+?) (?:{'|'.join(_VERBS.split())})\b")


def direction_prompts(caption: str) -> tuple[str, str]:
    """Prompts that send the main object of a procedural scene to the left and to the right.

    Args:
        caption: Caption of the scene, from `diff4splat.data`.

    Returns:
        "the SUBJECT moves left" and the same with "right"; SUBJECT is "object" if the caption has none that
        is known.

    Examples:
        >>> direction_prompts("a large red ball rises and a box spins, indoors")
        ('the large red ball moves left', 'the large red ball moves right')
    """
    found = _SUBJECT.match(caption)
    subject = found["subject"] if found else "object"
    return f"the {subject} moves left", f"the {subject} moves right"
