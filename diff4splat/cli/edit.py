"""`diff4splat edit`: a scene cut, cleaned, retimed, moved, joined with another, made smaller."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.options import MAX_FRAMES, check_between
from diff4splat.cli.output import check_output_file, writing

if TYPE_CHECKING:
    from diff4splat.cli.edit_steps import Scene

__all__ = ["Edit"]

_FAR = 1e6
_MEANT_FOR = {
    "--box-time": ("--keep-box", "--drop-box"),
    "--mask-frame": ("--keep-mask", "--drop-mask"),
    "--mask-depth": ("--keep-mask", "--drop-mask"),
    "--motion": ("--keep",),
}
_LOST_ON_FROZEN = ("--trim", "--reverse", "--boomerang", "--exaggerate")


@dataclass(frozen=True)
class Edit:
    """Change a scene: cut it, clean it, retime it, move it, join it with another, make it smaller.

    Any number of edits, done in the order of the options below, whatever the order of the words: first what
    is kept, then when things happen, then where they are, then what joins, then how many. For another order,
    run the command twice. Without --output nothing is written, and the table says what would come out.

    The recorded camera path goes with the scene: it is trimmed, reversed and moved alike. The file that is
    written says which edits were made. Boxes and moves are in scene units, +x right, +y down, +z forward from
    the first camera; `diff4splat inspect` prints where the Gaussians lie, `diff4splat render` shows them.

    In use:
      diff4splat edit out/scene.safetensors --remove-floaters --budget 50000 -o small.safetensors
      diff4splat edit out/scene.safetensors --keep-box -1,-1,0,1,1,4 --keep moving
      diff4splat edit out/scene.safetensors --keep-mask cup.png --mask-depth 0.3 -o cup.safetensors
      diff4splat edit out/scene.safetensors --trim 0.2,0.8 --boomerang --speed 0.5 -o loop.safetensors
      diff4splat edit cup.safetensors --rotate 0,90,0 --move 0.5,0,0 -o turned.safetensors
      diff4splat edit table.safetensors --merge turned.safetensors -o both.safetensors

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote, or the folder with it; or a scene of
            another program, as for `diff4splat export`.
        output: File to write; an existing file, SCENE too, is replaced once the new one is ready.
        keep_box: Keep the Gaussians with their centre in this box: smallest x, y, z, then largest x, y, z.
        drop_box: Leave out the Gaussians with their centre in this box.
        box_time: When the boxes look: at a time from 0 to 1, or at any or all of the stored times; at the
            canonical Gaussians, where each one was first seen, when omitted.
        keep_mask: Keep what this picture shows in white, as the recorded camera of --mask-frame sees it.
        drop_mask: Leave out what this picture shows in white.
        mask_frame: Frame of the recorded path that the masks belong to; the first one, 0, when omitted.
        mask_depth: How far behind the visible surface the masks reach, scene units; all the way when omitted.
        keep: Keep what travels (moving), or what does not (static).
        motion: Travel from which on a Gaussian is moving, scene units; a tenth of the largest when omitted.
        min_opacity: Leave out the Gaussians that are more transparent.
        remove_floaters: Leave out debris: Gaussians that are alone, in small groups, spikes, or too faint.
        trim: Keep this part of the clip, from start to end (as 0.2,0.8); it becomes the whole clip.
        reverse: Play backwards.
        boomerang: Play forwards, then backwards.
        exaggerate: Multiply the motion since the start of the clip: 0.5 halves it, 2 doubles it.
        freeze: Hold the scene as it is at this time, from 0 to 1.
        times: Store the motion at so many times, equally spaced; fewer make a smaller file. One is enough for
            a scene that is held still.
        speed: Play so many times as fast: changes the frames per second of the videos that are made of it.
        rotate: Turn about the middle of the scene, by degrees about x, y, z (the axis times the angle).
        scale: Grow about the middle of the scene, by this factor.
        move: Move by x, y, z.
        merge: Another scene whose Gaussians join, as they are, after all of the above.
        budget: Keep at most so many Gaussians, those that fill most of the recorded views.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE.safetensors", help_behavior_hint="")] = (
        None
    )
    keep_box: Annotated[str | None, arg(metavar="X,Y,Z,X,Y,Z", help_behavior_hint="")] = None
    drop_box: Annotated[str | None, arg(metavar="X,Y,Z,X,Y,Z", help_behavior_hint="")] = None
    box_time: Annotated[str | None, arg(metavar="T|any|all", help_behavior_hint="")] = None
    keep_mask: Annotated[Path | None, arg(metavar="PICTURE", help_behavior_hint="")] = None
    drop_mask: Annotated[Path | None, arg(metavar="PICTURE", help_behavior_hint="")] = None
    mask_frame: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    mask_depth: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    keep: Annotated[
        Literal["moving", "static"] | None, arg(metavar="moving|static", help_behavior_hint="")
    ] = None
    motion: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    min_opacity: Annotated[float | None, arg(metavar="A", help_behavior_hint="")] = None
    remove_floaters: Annotated[bool, FlagCreatePairsOff] = False
    trim: Annotated[str | None, arg(metavar="START,END", help_behavior_hint="")] = None
    reverse: Annotated[bool, FlagCreatePairsOff] = False
    boomerang: Annotated[bool, FlagCreatePairsOff] = False
    exaggerate: Annotated[float | None, arg(metavar="K", help_behavior_hint="")] = None
    freeze: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    times: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    speed: Annotated[float | None, arg(metavar="K", help_behavior_hint="")] = None
    rotate: Annotated[str | None, arg(metavar="X,Y,Z", help_behavior_hint="")] = None
    scale: Annotated[float | None, arg(metavar="K", help_behavior_hint="")] = None
    move: Annotated[str | None, arg(metavar="X,Y,Z", help_behavior_hint="")] = None
    merge: Annotated[Path | None, arg(metavar="SCENE", help_behavior_hint="")] = None
    budget: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None

    def run(self, console: Console) -> None:
        """Load, edit, and write or only tell."""
        self._check()
        if self.output is not None:
            check_output_file(self.output, (".safetensors",))
        with console.libraries():
            from diff4splat.assets import save_field
            from diff4splat.cli.edit_steps import load
        steps, rows = self._steps(), []
        with console.stage("load scene"):
            scene = load("SCENE", self.scene)
        with console.stage("edit", len(steps)) as progress:
            for number, (words, change) in enumerate(steps, start=1):
                before, scene = scene.field.num_gaussians, change(scene)
                rows.append((words, str(before), str(scene.field.num_gaussians)))
                progress(number, len(steps))
        console.print(table(("edit", "Gaussians", "after"), rows, right=(1, 2)))
        if self.output is None:
            console.print("\nNothing was written; --output FILE.safetensors writes the scene.")
            return
        recorded = scene.field.metadata.get("edits")
        edits = [*(recorded if isinstance(recorded, list) else []), *(words for words, _, _ in rows)]
        with console.stage("write file"), writing(self.output):
            save_field(scene.field, self.output, cameras=scene.cameras, provenance={"edits": edits})
        size = (str(self.output), file_size(self.output))
        console.print("\n" + table(("file", "size"), [size], right=(1,)))

    def _given(self) -> dict[str, object]:
        """Value of each option that was given."""
        options = {f"--{name.replace('_', '-')}": value for name, value in vars(self).items()}
        return {
            option: value for option, value in options.items() if value is not None and value is not False
        }

    def _check(self) -> None:
        """Refuse what can be refused before anything is loaded."""
        check_between("--mask-frame", self.mask_frame, 0, MAX_FRAMES)
        check_between("--mask-depth", self.mask_depth, 0, _FAR)
        check_between("--motion", self.motion, 0, _FAR)
        check_between("--min-opacity", self.min_opacity, 0, 1)
        check_between("--exaggerate", self.exaggerate, -1000, 1000)
        check_between("--freeze", self.freeze, 0, 1)
        check_between("--times", self.times, 1, MAX_FRAMES)
        check_between("--speed", self.speed, 0.001, 1000)
        check_between("--scale", self.scale, 0.001, 1000)
        check_between("--budget", self.budget, 1, 10**9)
        given = self._given()
        for option, others in _MEANT_FOR.items():
            if option in given and not any(other in given for other in others):
                raise ValueError(f"{option} is for {' and '.join(others)}, which was not given.")
        for option in _LOST_ON_FROZEN:
            if option in given and self.freeze is not None:
                raise ValueError(f"{option} does nothing to a scene that --freeze holds still.")

    def _steps(self) -> "list[tuple[str, Callable[[Scene], Scene]]]":
        """The edits that were asked for, in their order, each with the words that ask for it."""
        from diff4splat.cli import edit_steps as do

        given = self._given()
        changes: dict[str, Callable[[Scene], Scene]] = {}
        for option, text in (("--keep-box", self.keep_box), ("--drop-box", self.drop_box)):
            if text is not None:
                box, time = do.box(option, text), do.box_time(self.box_time)
                changes[option] = partial(do.cut_box, option=option, box=box, time=time)
        for option, path in (("--keep-mask", self.keep_mask), ("--drop-mask", self.drop_mask)):
            if path is not None:
                frame, depth = self.mask_frame or 0, self.mask_depth
                changes[option] = partial(do.cut_mask, option=option, path=path, frame=frame, depth=depth)
        if self.keep is not None:
            changes["--keep"] = partial(do.keep_moving, which=self.keep, threshold=self.motion)
        if self.min_opacity is not None:
            changes["--min-opacity"] = partial(do.prune, min_opacity=self.min_opacity)
        changes["--remove-floaters"] = do.remove_floaters
        if self.trim is not None:
            changes["--trim"] = partial(do.trim, part=do.part(self.trim))
        changes["--reverse"] = do.reverse
        changes["--boomerang"] = do.boomerang
        if self.exaggerate is not None:
            changes["--exaggerate"] = partial(do.exaggerate, factor=self.exaggerate)
        if self.freeze is not None:
            changes["--freeze"] = partial(do.hold, time=self.freeze)
        if self.times is not None:
            changes["--times"] = partial(do.resample, count=self.times)
        if self.speed is not None:
            changes["--speed"] = partial(do.play, factor=self.speed)
        if self.rotate is not None:
            changes["--rotate"] = partial(do.turn, degrees=do.numbers("--rotate", self.rotate, 3))
        if self.scale is not None:
            changes["--scale"] = partial(do.grow, factor=self.scale)
        if self.move is not None:
            changes["--move"] = partial(do.shift, by=do.numbers("--move", self.move, 3))
        if self.merge is not None:
            changes["--merge"] = partial(do.join, path=self.merge)
        if self.budget is not None:
            changes["--budget"] = partial(do.limit, count=self.budget)
        chosen = [option for option in changes if option in given]
        if not chosen:
            raise ValueError("at least one edit must be given, such as --remove-floaters.")
        return [(do.words(option, given[option]), changes[option]) for option in chosen]
