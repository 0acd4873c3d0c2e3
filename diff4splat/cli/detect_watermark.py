"""`diff4splat detect-watermark`: whether a video or picture is marked as generated."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.errors import naming
from diff4splat.cli.marking import watermark_key
from diff4splat.cli.options import check_between

if TYPE_CHECKING:
    from torch import Tensor

    from diff4splat.assets import WatermarkDecision

__all__ = ["DetectWatermark"]

_MOST_FRAMES, _MOST_PIXELS = 100, 1 << 25  # looked at in all: 400 MB
_VERDICTS = {
    "marked": "marked as generated",
    "not marked": "not marked with this key, or no longer",
    "cannot tell": "cannot tell: too small or too flat to carry a mark that is found for certain",
}


@dataclass(frozen=True)
class DetectWatermark:
    """Say whether a video or picture is marked as generated, with a stated rate of false alarms.

    What is found survives conversion, resizing and cropping within limits; the page on provenance has a
    table. The mark has a key: the public one marks what others made with this program, too; a key of your
    own, what you made with it. Of a long video, frames spread over it are looked at, up to 100.

    The exit status is 0 whenever there is an answer, whatever it is; scripts read it with --json.

    In use:
      diff4splat detect-watermark video.mp4
      diff4splat detect-watermark video.mp4 --scene out/scene.safetensors
      diff4splat detect-watermark frames/ --key "my own key" --json

    Args:
        file: mp4, webm, mov, gif, webp, png or jpg, or a folder of pictures of one size.
        key: Key of the mark. When omitted, the environment variable DIFF4SPLAT_WATERMARK_KEY, or the public
            key.
        scene: A scene.safetensors: say whether the mark is that of its videos.
        false_positive_rate: How often, at most, a video that is not marked may be called marked.
        fast: Do not look for videos that were resized.
        json: Print the answer as JSON.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    key: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")] = None
    scene: Annotated[Path | None, arg(metavar="SCENE", help_behavior_hint="")] = None
    false_positive_rate: Annotated[float, arg(metavar="RATE")] = 1e-6
    fast: Annotated[bool, FlagCreatePairsOff] = False
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Read, decide, and say so."""
        check_between("--false-positive-rate", self.false_positive_rate, 1e-300, 0.1)
        with console.libraries():
            from diff4splat.assets import PUBLIC_KEY, detect_watermark, load_field, scene_payload
        expected = None
        if self.scene is not None:
            with naming("--scene cannot be read", self.scene):
                expected = scene_payload(load_field(self.scene))
        with console.stage("read video"), naming("FILE cannot be read", self.file):
            frames = _some_frames(self.file)
        key = watermark_key(self.key)
        with console.stage("look for the mark"):
            decision = detect_watermark(
                frames,
                key=key,
                false_positive_rate=self.false_positive_rate,
                search_scales=not self.fast,
            )
        facts: dict[str, Any] = {
            "file": str(self.file),
            "key": "public" if key == PUBLIC_KEY else "yours",
            "frames": len(frames),
            **asdict(decision),
        }
        if expected is not None:
            facts["of_scene"] = None if decision.payload is None else decision.payload == expected
        if self.json:
            console.print(json.dumps(facts, ensure_ascii=False))
        else:
            console.print("\n".join(_lines(facts, decision)))


def _some_frames(file: Path) -> "Tensor":
    """Frames spread over a video, not more than memory has room for."""
    from diff4splat.pipelines import read_frames, video_facts
    from diff4splat.pipelines.clips import spread_indices

    facts = video_facts(file)
    count = min(facts.num_frames, _MOST_FRAMES, max(1, _MOST_PIXELS // (facts.height * facts.width)))
    indices = [0] if count == 1 else spread_indices(facts.num_frames, count)
    return read_frames(file, indices, height=facts.height, width=facts.width)


def _lines(facts: dict[str, Any], decision: "WatermarkDecision") -> list[str]:
    """The answer in words, one fact a line."""
    lines = [
        f"{facts['file']}: {_VERDICTS[decision.verdict]}",
        f"  key                  {'the public one' if facts['key'] == 'public' else 'yours'}",
        f"  score                {decision.score:.1f}, by chance at a rate of {decision.p_value:.1g} at most",
        f"  false positive rate  {decision.false_positive_rate:g} at most",
        f"  frames looked at     {facts['frames']}",
    ]
    if decision.detected:
        payload = "cannot be read" if decision.payload is None else f"{decision.payload:08x}"
        lines.append(f"  number of the scene  {payload}")
        lines += [f"  since it was marked  {words}" for words in [_changes(decision)] if words]
    else:
        lines.append(f"  score of a new mark  {decision.probe_score:.1f}, put in for a test")
    if "of_scene" in facts:
        words = {None: "cannot tell", True: "yes", False: "no"}[facts["of_scene"]]
        lines.append(f"  made from the scene  {words}")
    return lines


def _changes(decision: "WatermarkDecision") -> str:
    """What happened to the picture since it was marked."""
    words = []
    if abs(decision.scale - 1) > 0.001:
        words.append(f"resized by {decision.scale:.3g}")
    if decision.offset != (0, 0):
        words.append("cropped or moved")
    if decision.mirrored:
        words.append("mirrored")
    return ", ".join(words)
