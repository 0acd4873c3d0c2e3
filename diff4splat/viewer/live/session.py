"""One page that looks at a scene: its camera, its controls, the pictures it is sent, and what it saves."""

import io
import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diff4splat.cameras import Cameras, save_cameras
from diff4splat.geometry import matrix_to_quaternion
from diff4splat.viewer.live.client_camera import cameras_to_view, view_to_cameras
from diff4splat.viewer.live.clip_clock import ClipClock, next_time
from diff4splat.viewer.live.keyframes import keyframes_json, keyframes_path
from diff4splat.viewer.live.look import Look
from diff4splat.viewer.live.panel import FOLLOWED, Panel
from diff4splat.viewer.live.picture_loop import PictureLoop, Quality
from diff4splat.viewer.live.scene import LiveScene

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_MAX_PAGE_SIDE = 2048  # a larger window gets a picture that it enlarges
_MAX_FILM_PIXELS = 10**8  # of all frames together, 12 bytes each
_JPEG_QUALITY = {"draft": 80, "full": 92}
_MAX_DRAWN_CAMERAS = 9
_PATH_COLOR, _KEY_COLOR = (255, 170, 40), (60, 190, 255)


class _View(NamedTuple):
    """What a page asks to be drawn."""

    look: Look
    wxyz: tuple[float, ...]
    position: tuple[float, ...]
    fov: float
    height: int
    width: int

    def camera(self, height: int, width: int) -> Cameras:
        return view_to_cameras(self.wxyz, self.position, self.fov, height=height, width=width)


class Session:
    """Serves one client of viser until `stop`; two threads of its own draw and keep time.

    Args:
        client: Client handle of viser.
        scene: What is looked at, shared with other pages.
        panel: Controls of this page.
        seconds: Duration of the clip at normal speed.
    """

    def __init__(self, client: Any, scene: LiveScene, panel: Panel, *, seconds: int | float) -> None:
        self._client, self._scene, self._panel = client, scene, panel
        self._seconds = seconds
        self._keys: list[tuple[Cameras, Any]] = []
        self._keys_lock = threading.Lock()
        self._splats: Any = None
        self._sent: _View | None = None  # what the splats that the page has were made for
        self._in_splats = False
        self._path: list[Any] = []
        self._loop: PictureLoop[_View] = PictureLoop(self._draw)
        self._clock = ClipClock(self._tick)
        panel.on_look(self._changed)
        panel.follow.on_update(lambda _: self._changed())
        panel.show_path.on_update(lambda _: self._draw_path())
        for button, action in (
            (panel.to_start, self.to_start),
            (panel.save_picture, self._save_picture),
            (panel.save_camera, self._save_camera),
            (panel.add_key, self._add_key),
            (panel.remove_key, self._remove_key),
            (panel.save_keys, self._save_keys),
            (panel.save_film, self._save_film),
        ):
            button.on_click(self._in_words(action))
        client.camera.on_update(lambda _: self._request())
        self._fit_width()
        self._request()

    def stop(self) -> None:
        """End the threads of this page."""
        self._clock.stop()
        self._loop.stop()

    def to_start(self) -> None:
        """Stand where the first camera stands."""
        self._panel.follow.value = FOLLOWED[0]
        self._stand_at(self._scene.cameras.select(0))

    def _fit_width(self) -> None:
        """Widen the view in a window that is narrower than the image of the first camera."""
        camera = self._client.camera
        first = self._scene.cameras.select(0)
        camera.fov = cameras_to_view(first, focus=self._scene.focus, aspect=camera.aspect).fov

    def _stand_at(self, camera: Cameras) -> None:
        ours, focus = self._client.camera, self._scene.focus
        view = cameras_to_view(camera, focus=focus, aspect=ours.aspect)
        with self._client.atomic():
            ours.up_direction = view.up
            ours.position = view.position
            ours.look_at = view.look_at
            ours.fov = view.fov
        self._request()

    def _view(self) -> _View:
        camera = self._client.camera
        return _View(
            self._panel.look(),
            tuple(map(float, camera.wxyz)),
            tuple(map(float, camera.position)),
            float(camera.fov),
            max(1, int(camera.image_height)),
            max(1, int(camera.image_width)),
        )

    def _request(self) -> None:
        self._loop.request(self._view())

    def _changed(self) -> None:
        """The time or the look is another one."""
        path = self._followed()
        if path is None:
            self._request()
        else:
            self._stand_at(path.interpolate(torch.tensor([self._panel.look().time])))

    def _followed(self) -> Cameras | None:
        """The path that the time moves the camera along; its lens is the page's."""
        if self._panel.follow.value == FOLLOWED[1] and self._scene.commanded:
            return self._scene.cameras
        if self._panel.follow.value == FOLLOWED[2] and self._keys:
            return keyframes_path(self._key_cameras(), max(2, 8 * len(self._keys)))
        return None

    def _tick(self, elapsed: float) -> None:
        """Move the time on while the clip plays."""
        panel = self._panel
        if not panel.play.value:
            return
        time = panel.look().time
        if time >= 1 and not panel.loop.value:
            time = 0.0  # played again after its end
        later, plays = next_time(time, elapsed * panel.speed.value / self._seconds, loop=panel.loop.value)
        panel.time.value = later
        if not plays:
            panel.play.value = False

    def _draw(self, view: _View, quality: Quality, scale: float) -> None:
        """Send what a view asks for; called by the loop."""
        if view.look.mode == "splats":
            self._draw_splats(view, still=quality != "draft")
        else:
            scale *= min(1.0, _MAX_PAGE_SIDE / max(view.height, view.width))
            size = max(1, round(view.height * scale)), max(1, round(view.width * scale))
            self._draw_picture(view, size, quality)

    def _draw_picture(self, view: _View, size: tuple[int, int], quality: Quality) -> None:
        picture = self._scene.picture(view.camera(*size), view.look)
        if self._in_splats:
            self._splats.visible = False
        self._in_splats = False
        scene = self._client.scene
        if quality == "exact":
            scene.set_background_image(picture, format="png")
        else:
            scene.set_background_image(picture, format="jpeg", jpeg_quality=_JPEG_QUALITY[quality])
        self._client.flush()

    def _draw_splats(self, view: _View, *, still: bool) -> None:
        """Send the Gaussians where they changed, or where a view that rests gives them other colours."""
        sent = self._sent
        other = sent is None or sent.look != view.look
        if other or (still and sent != view and self._depends_on_view(view.look)):
            splats = self._scene.splats(view.camera(view.height, view.width), view.look)
            arrays = (splats.centers, splats.covariances, splats.colors, splats.opacities)
            if self._splats is None:
                self._splats = self._client.scene.add_gaussian_splats("/scene", *arrays)
            else:
                self._splats.set_gaussians(*arrays)
            self._sent = view
        if not self._in_splats:
            black = np.zeros((2, 2, 3), dtype=np.uint8)
            self._client.scene.set_background_image(black, format="png")
            self._splats.visible = True
        self._in_splats = True
        self._client.flush()

    def _depends_on_view(self, look: Look) -> bool:
        harmonic = self._scene.field.canonical.sh_degree > 0
        return look.show == "depth" or (look.show == "color" and harmonic)

    def _draw_path(self) -> None:
        """Show the commanded cameras, or hide them."""
        if not self._path:
            cameras, client = self._scene.cameras, self._client
            count = min(cameras.num_frames, _MAX_DRAWN_CAMERAS)
            drawn = sorted({round(i * (cameras.num_frames - 1) / max(count - 1, 1)) for i in range(count)})
            for index in drawn:
                self._path.append(self._frustum(f"/path/{index}", cameras.select(index), _PATH_COLOR))
            if cameras.num_frames > 1:
                ends = torch.stack((cameras.positions[:-1], cameras.positions[1:]), dim=1).numpy()
                self._path.append(
                    client.scene.add_line_segments(
                        "/path/line", ends, _PATH_COLOR, thickness=2.0, thickness_units="screen"
                    )
                )
        for node in self._path:
            node.visible = bool(self._panel.show_path.value)

    def _frustum(self, name: str, camera: Cameras, color: tuple[int, int, int]) -> Any:
        matrix = camera.camera_to_world[0]
        view = cameras_to_view(camera, focus=self._scene.focus)
        return self._client.scene.add_camera_frustum(
            name,
            fov=view.fov,
            aspect=camera.width / camera.height,
            scale=0.04 * self._scene.focus,
            thickness=2.0,
            thickness_units="screen",
            color=color,
            wxyz=tuple(matrix_to_quaternion(matrix[:3, :3]).tolist()),
            position=tuple(matrix[:3, 3].tolist()),
        )

    def _key_cameras(self) -> list[Cameras]:
        """The keys, for images of the size that is saved."""
        height, width = self._panel.size()
        with self._keys_lock:
            return [_resized(camera, height, width) for camera, _ in self._keys]

    def _add_key(self) -> None:
        camera = self._view().camera(*self._panel.size())
        with self._keys_lock:
            name = f"/keys/{len(self._keys)}"
            self._keys.append((camera, self._frustum(name, camera, _KEY_COLOR)))
            self._panel.num_keys.value = str(len(self._keys))

    def _remove_key(self) -> None:
        with self._keys_lock:
            if self._keys:
                self._keys.pop()[1].remove()
            self._panel.num_keys.value = str(len(self._keys))

    def _save_picture(self) -> None:
        from PIL import Image

        view = self._view()
        picture = self._scene.picture(view.camera(*self._panel.size()), view.look)
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        self._send("picture.png", file.getvalue())

    def _save_camera(self) -> None:
        camera = self._view().camera(*self._panel.size())
        self._send("camera.json", _written("camera.json", lambda path: save_cameras(camera, path)))

    def _save_keys(self) -> None:
        text = keyframes_json(self._needed_keys(), self._panel.num_frames())
        self._send("keyframes.json", text.encode())

    def _save_film(self) -> None:
        from diff4splat.assets import save_video

        path = keyframes_path(self._needed_keys(), self._panel.num_frames())
        count = path.num_frames * path.height * path.width
        if count > _MAX_FILM_PIXELS:
            most = _MAX_FILM_PIXELS // (path.height * path.width)
            raise ValueError(f"frames must be at most {most} at this size, got {path.num_frames}.")
        look = self._panel.look()
        film = torch.empty(path.num_frames, 3, path.height, path.width)
        for index in range(path.num_frames):
            moment = Look(index / (path.num_frames - 1), look.show, look.gaussians)
            picture = self._scene.picture(path.select(index), moment)
            film[index] = torch.from_numpy(picture).movedim(-1, 0) / 255
        data = _written("path.mp4", lambda file: save_video(film, file, fps=path.num_frames / self._seconds))
        self._send("path.mp4", data)

    def _needed_keys(self) -> list[Cameras]:
        keys = self._key_cameras()
        if not keys:
            raise ValueError("There is no key yet: move the camera and press Add key.")
        return keys

    def _send(self, name: str, data: bytes) -> None:
        self._client.send_file_download(name, data, save_immediately=True)

    def _in_words(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """A click whose errors are shown on the page."""

        def clicked(_: Any) -> None:
            try:
                action()
            except Exception as error:
                logger.debug("a click failed", exc_info=True)
                self._client.add_notification("That did not work", str(error), color="red")

        return clicked


def _resized(camera: Cameras, height: int, width: int) -> Cameras:
    """The same place and vertical field of view, for an image of another size."""
    focal = float(camera.intrinsics[0, 1, 1]) * height / camera.height
    lens = camera.intrinsics.new_tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(camera.camera_to_world, lens[None], height, width)


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    """What a function that writes a file wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
