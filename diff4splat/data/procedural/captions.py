"""Captions of procedural scenes, from a small grammar: what the main object is, how it moves, where it is."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SceneWords", "write_caption"]

_VERBS = {
    "left": ("moves left", "slides to the left", "drifts left", "travels to the left"),
    "right": ("moves right", "slides to the right", "drifts right", "travels to the right"),
    "up": ("rises", "moves up", "floats upwards", "goes up"),
    "down": ("falls", "moves down", "drops", "sinks down"),
    "closer": ("comes closer", "moves towards the camera", "approaches", "moves forward to the viewer"),
    "away": ("drifts away", "moves away from the camera", "recedes", "goes further away"),
    "spin": ("spins in place", "rotates", "turns around", "spins"),
    "bounce": ("bounces up and down", "hops in place", "bounces", "jumps up and down"),
    "sway": ("swings from side to side", "sways", "moves back and forth", "rocks left and right"),
    "still": ("stays still", "does not move", "stands still", "rests"),
}
_PATTERN_WORDS = {
    "mottled": "speckled",
    "marbled": "marbled",
    "striped": "striped",
    "checked": "checkered",
    "brick": "brick",
    "wooden": "wooden",
    "patchy": "patchy",
    "spotted": "spotted",
}
_INDOORS = (", indoors", " in a room", " inside a room", "")
_OUTDOORS = (", outdoors", " under the sky", " on open ground", "")


@dataclass(frozen=True)
class SceneWords:
    """What can be said about one object.

    Args:
        shape: Index into `raycast.SHAPES`.
        regular: Whether all sides are equal.
        proportions: Half extents.
        color: Colour name.
        pattern: Name of the surface pattern.
        motion: One of `props.MOTIONS`.
    """

    shape: int
    regular: bool
    proportions: tuple[float, ...]
    color: str
    pattern: str
    motion: str


def _pick(options: Sequence[str], number: float) -> str:
    return options[min(int(number * len(options)), len(options) - 1)]


def _noun(words: SceneWords, number: float) -> str:
    wide, tall = max(words.proportions[0], words.proportions[2]), words.proportions[1]
    if words.shape == 0:
        return _pick(("ball", "sphere"), number) if words.regular else _pick(("egg", "ellipsoid"), number)
    if words.shape == 1:
        return _pick(("cube", "box"), number) if words.regular else _pick(("box", "block"), number)
    return "pillar" if tall > 1.3 * wide else _pick(("cylinder", "drum"), number)


def _object(words: SceneWords, numbers: Sequence[float], *, short: bool) -> str:
    noun = _noun(words, numbers[0])
    if short:
        return noun
    adjectives = []
    if max(words.proportions) > 0.6 and numbers[1] < 0.5:
        adjectives.append(_pick(("large", "big"), numbers[1] * 2))
    if words.pattern in _PATTERN_WORDS and numbers[2] < 0.5:
        adjectives.append(_PATTERN_WORDS[words.pattern])
    adjectives.append(words.color)
    return " ".join([*adjectives, noun])


def write_caption(objects: Sequence[SceneWords], outdoors: bool, numbers: Sequence[float]) -> str:
    """One sentence about a scene.

    Args:
        objects: The main object first, perhaps a second one.
        outdoors: Whether there is a sky.
        numbers: Sixteen numbers in [0, 1) that choose the words.

    Returns:
        Lower case, no full stop, ASCII.
    """
    place = _pick(_OUTDOORS if outdoors else _INDOORS, numbers[0])
    short = numbers[1] < 0.2
    main = objects[0]
    subject = _object(main, numbers[2:5], short=short)
    article = "the" if short or numbers[5] < 0.3 else ("an" if subject[0] in "aeiou" else "a")
    sentence = f"{article} {subject} {_pick(_VERBS[main.motion], numbers[6])}"
    if len(objects) > 1 and not short and numbers[7] < 0.45:
        other = _object(objects[1], numbers[8:11], short=False)
        article = "an" if other[0] in "aeiou" else "a"
        sentence += f" and {article} {other} {_pick(_VERBS[objects[1].motion], numbers[11])}"
    return sentence if short else sentence + place
