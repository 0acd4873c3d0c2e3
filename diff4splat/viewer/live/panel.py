"""The controls beside a scene, as widgets of viser; what they say, without what follows from it."""

from collections.abc import Callable, Mapping
from typing import Any

from diff4splat.viewer.live.look import GAUSSIANS, MODES, SHOWN, Look, Mode

__all__ = ["FOLLOWED", "MAX_FRAMES", "MAX_SIDE", "Panel"]

FOLLOWED = ("free", "commanded path", "my keys")
MAX_SIDE, MAX_FRAMES = 4096, 1000

_TIME_STEP = 0.001


class Panel:
    """Widgets of one page. They are plain: names and prompts are shown as text, never as markup.

    Args:
        gui: `gui` of one client of viser.
        mode: Who draws at first.
        size: Width and height proposed for what is saved, pixels.
        num_frames: Frames proposed for a path of keys.
        commanded: Whether there is a commanded path to follow and to show.
        legend: What the colours mean, by what is shown.
        about: Facts about the scene.
    """

    def __init__(
        self,
        gui: Any,
        *,
        mode: Mode,
        size: tuple[int, int],
        num_frames: int,
        commanded: bool,
        legend: Mapping[str, str],
        about: Mapping[str, str],
    ) -> None:
        self._legends = dict(legend)
        with gui.add_folder("Time"):
            self.time = gui.add_slider("time", 0.0, 1.0, _TIME_STEP, 0.0, hint="0 is the start of the clip")
            self.play = gui.add_checkbox("play", False)
            self.speed = gui.add_slider("speed", 0.1, 4.0, 0.1, 1.0)
            self.loop = gui.add_checkbox("loop", True)
        with gui.add_folder("Look"):
            self.show = gui.add_dropdown("show", SHOWN, initial_value=SHOWN[0])
            self.gaussians = gui.add_dropdown(
                "Gaussians",
                GAUSSIANS,
                initial_value=GAUSSIANS[0],
                hint="deformed: at the time above; canonical: before any deformation",
            )
            self.mode = gui.add_dropdown(
                "drawn as",
                MODES,
                initial_value=mode,
                hint="rendered: by the renderer of diff4splat; splats: by the browser",
            )
            self.legend = gui.add_text("colours", self._legends[SHOWN[0]], multiline=True, disabled=True)
        with gui.add_folder("Camera"):
            followed = FOLLOWED if commanded else (FOLLOWED[0], FOLLOWED[2])
            self.follow = gui.add_dropdown(
                "follow",
                followed,
                initial_value=FOLLOWED[0],
                hint="let the time move the camera along a path",
            )
            self.show_path = gui.add_checkbox("show path", False, visible=commanded)
            self.to_start = gui.add_button("To the first camera")
        with gui.add_folder("Save"):
            self.width = gui.add_number("width", size[0], min=16, max=MAX_SIDE, step=1)
            self.height = gui.add_number("height", size[1], min=16, max=MAX_SIDE, step=1)
            self.save_picture = gui.add_button(
                "Picture", hint="A PNG of this view at that size, by the renderer of diff4splat"
            )
            self.save_camera = gui.add_button("Camera", hint="This view as a file of cameras")
        with gui.add_folder("My path"):
            self.num_keys = gui.add_text("keys", "0", disabled=True)
            self.add_key = gui.add_button("Add key", hint="The camera where it stands now")
            self.remove_key = gui.add_button("Remove last key")
            self.frames = gui.add_number("frames", num_frames, min=2, max=MAX_FRAMES, step=1)
            self.save_keys = gui.add_button("Keys", hint="A file for --trajectory")
            self.save_film = gui.add_button("Video", hint="The clip along the keys, at the size above")
        with gui.add_folder("About", expand_by_default=False):
            for name, value in about.items():
                gui.add_text(name, value, disabled=True, multiline=len(value) > 24)

    def look(self) -> Look:
        """What is asked for now; values that no page of ours sends are taken as the nearest that it does."""
        return Look(
            time=min(max(float(self.time.value), 0.0), 1.0),
            show=_one_of(self.show.value, SHOWN),
            gaussians=_one_of(self.gaussians.value, GAUSSIANS),
            mode=_one_of(self.mode.value, MODES),
        )

    def size(self) -> tuple[int, int]:
        """Height and width of what is saved, pixels."""
        height, width = (min(max(round(box.value), 16), MAX_SIDE) for box in (self.height, self.width))
        return height, width

    def num_frames(self) -> int:
        """Frames of a path of keys."""
        return min(max(round(self.frames.value), 2), MAX_FRAMES)

    def on_look(self, changed: Callable[[], object]) -> None:
        """Call a function when the look changes, from the page or from here.

        Args:
            changed: The function.
        """

        def update(_: Any) -> None:
            legend = self._legends[_one_of(self.show.value, SHOWN)]
            if self.legend.value != legend:
                self.legend.value = legend
            changed()

        for widget in (self.time, self.show, self.gaussians, self.mode):
            widget.on_update(update)


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    return value if value in allowed else allowed[0]
