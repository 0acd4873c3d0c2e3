"""The live viewer: a scene in a browser, drawn by the renderer of the library while one moves about in it."""

import errno
import ipaddress
import logging
import math
import os
import socket
import sys
import threading
import warnings
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.viewer.live.client_camera import cameras_to_view
from diff4splat.viewer.live.look import MODES, Mode
from diff4splat.viewer.live.panel import MAX_FRAMES, MAX_SIDE, Panel
from diff4splat.viewer.live.scene import LiveScene
from diff4splat.viewer.live.session import Session
from diff4splat.viewer.shown_text import shown_text

__all__ = ["LiveViewer", "view_field"]

logger = logging.getLogger(__name__)

_PORTS_TRIED = 100
_PATIENCE_SECONDS = 1.0
_FRAMES = 49  # of a path of keys, where no commanded path says
_LOCAL = ("127.0.0.1", "localhost", "::1")


class LiveViewer:
    """A running viewer, as `view_field` starts it; ends with `stop`, or with the block of a `with`.

    Args:
        server: Server of viser.
        address: Where a browser finds it.

    Attributes:
        sessions: What serves each open page, by the number that viser gave it.
    """

    def __init__(self, server: Any, address: str) -> None:
        self.server = server
        self.address = address
        self.sessions: dict[int, Session] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def __enter__(self) -> "LiveViewer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Port that it listens at."""
        return int(self.server.get_port())

    def wait(self, seconds: int | float | None = None) -> None:
        """Return when the viewer is stopped; Ctrl-C raises KeyboardInterrupt as always.

        Args:
            seconds: How long to wait at most; without end when omitted.
        """
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Close all pages and the port, and end the threads; does nothing the second time."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            sessions, self.sessions = list(self.sessions.values()), {}
        for session in sessions:
            session.stop()
        # A browser may hold a spare connection open, on which viser waits for ten seconds; the port is closed
        # at once, and nobody has to wait with it.
        ending = threading.Thread(target=self.server.stop, name="diff4splat-ending", daemon=True)
        with _quiet():
            ending.start()
            ending.join(_PATIENCE_SECONDS)

    def _add(self, client_id: int, make: Callable[[], Session]) -> None:
        with self._lock:
            if not self._stopped.is_set():
                self.sessions[client_id] = make()

    def _remove(self, client_id: int) -> None:
        with self._lock:
            session = self.sessions.pop(client_id, None)
        if session is not None:
            session.stop()


def view_field(
    field: DeformableGaussianField,
    *,
    cameras: Cameras | None = None,
    title: str = "diff4splat",
    mode: Mode = "rendered",
    seconds: int | float = 4,
    host: str = "127.0.0.1",
    port: int = 8080,
    open_browser: bool = False,
) -> LiveViewer:
    """Start a page in which one moves freely through a scene and its time, and return at once.

    Pictures come from `render` on the device of the field, where the page's camera stands: smaller while
    something moves, in full once all rests. Each page that is opened has a camera, a time and controls of its
    own: colour, depth or motion; deformed or canonical Gaussians; the commanded path; saving the view as a
    picture or a file of cameras, and keys of a camera path as a file or a video. What is saved goes to the
    browser's downloads; nothing is written here and no file is served.

    Args:
        field: One field without batch axes.
        cameras: Commanded path, from time 0 to 1, without batch axes; pages begin at its first camera. A
            camera that sees the scene when omitted.
        title: Heading of the controls; any text is shown as it is.
        mode: Who draws at first: "rendered" by the library, exactly; "splats" by the browser, which needs no
            picture per move, but has one colour per Gaussian and less precise shapes.
        seconds: Duration of the clip at normal speed, > 0.
        host: Address to listen at, in numbers, or localhost. The default is reached from this machine alone;
            another one, such as 0.0.0.0, lets all who reach this machine look at the scene.
        port: Port to listen at; where it is taken, the next free one. 0 for any.
        open_browser: Also open the page in the browser of this machine.

    Returns:
        The running viewer, which knows its address.

    Raises:
        ValueError: If the field or the cameras have batch axes or invalid values, or an option is out of
            range.
        OSError: If `host` is no address of this machine, or no port is free.
        ModuleNotFoundError: If viser is missing.
    """
    _check(field, cameras, mode, seconds, host, port)
    viser = _viser()
    scene = LiveScene(field, cameras)
    free = _free_port(host, port)

    class Server(viser.ViserServer):  # type: ignore[name-defined]
        """A server that no page can publish: viser would open a tunnel to the internet on request."""

        def request_share_url(self, verbose: bool = True) -> None:
            """Refuse."""
            return None

    with _quiet():
        server = Server(host=host, port=free, label=shown_text(title), verbose=False)
    viewer = LiveViewer(server, _address(host, int(server.get_port())))
    server.gui.configure_theme(dark_mode=True, show_share_button=False, show_logo=False)
    server.scene.set_up_direction("-y")
    view = cameras_to_view(scene.cameras.select(0), focus=scene.focus)
    first = server.initial_camera
    first.position, first.look_at, first.up, first.fov = view
    first.near, first.far = min(0.01, scene.focus / 100), max(1000.0, 100 * scene.focus)

    commanded, known = scene.commanded, scene.cameras
    panel = partial(
        Panel,
        mode=mode,
        size=(min(known.width, MAX_SIDE), min(known.height, MAX_SIDE)),
        num_frames=min(max(known.num_frames, 2), MAX_FRAMES) if commanded else _FRAMES,
        commanded=commanded,
        legend=_legend(scene),
        about=_about(scene),
    )

    def opened(client: Any) -> None:
        viewer._add(client.client_id, lambda: Session(client, scene, panel(client.gui), seconds=seconds))
        if client.client_id not in server.get_clients():  # gone already
            viewer._remove(client.client_id)

    server.on_client_connect(opened)
    server.on_client_disconnect(lambda client: viewer._remove(client.client_id))
    # A page that is closed while a picture is on its way to it is no mistake of anyone's.
    warnings.filterwarnings("ignore", r"Queued a \w+ on a closed connection", UserWarning)
    if viewer.port != port and port:
        logger.info("port %d is taken, so it is %d", port, viewer.port)
    if host not in _LOCAL:
        logger.warning("everyone who reaches this machine at %s can look at the scene", host)
    if open_browser:
        _open(viewer.address)
    return viewer


def _check(
    field: DeformableGaussianField,
    cameras: Cameras | None,
    mode: str,
    seconds: int | float,
    host: str,
    port: int,
) -> None:
    for name, value in (("field", field), ("cameras", cameras)):
        if value is not None and value.batch_shape:
            raise ValueError(f"{name} must have no batch axes, got {value.batch_shape}.")
    if field.num_gaussians < 1:
        raise ValueError("field must hold at least one Gaussian, got none.")
    field.validate()
    if cameras is not None:
        if cameras.num_frames < 1:
            raise ValueError("cameras must hold at least one camera, got none.")
        cameras.validate()
    if mode not in MODES:
        raise ValueError(f"mode must be {' or '.join(MODES)}, got {mode!r}.")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be positive, got {seconds}.")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"host must be an address such as 127.0.0.1, got {host!r}.") from None
    if not 0 <= port <= 65_535:
        raise ValueError(f"port must be from 0 to 65535, got {port}.")


def _viser() -> Any:
    try:
        import viser
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the live viewer needs viser: pip install 'diff4splat[viewer]'", name="viser"
        ) from error
    return viser


def _free_port(host: str, port: int) -> int:
    """The port, or the next that nobody listens at; viser would wait without end for a host that is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = None
    for candidate in range(port, min(port + _PORTS_TRIED, 65_536)):
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            if os.name == "posix":  # as servers do: a port that was closed a moment ago is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, candidate))
                return candidate
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    words = f"host must be an address of this machine, got {host!r}: {error.strerror}"
                    raise OSError(words) from error
                last = error
    raise OSError(f"port must be free, got none from {port} on: {last.strerror if last else 'no port'}")


def _address(host: str, port: int) -> str:
    """What to type into a browser of this machine."""
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the standard output what viser says when it starts and ends."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _open(address: str) -> None:
    """Open a page in a browser with windows; without a screen there is none."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    webbrowser.open(address)


def _legend(scene: LiveScene) -> Mapping[str, str]:
    return {
        "color": "those of the scene",
        "depth": f"bright {scene.near:.3g}, dark {scene.far:.3g} units away",
        "motion": f"red right, green down, blue forward; full at {scene.full_speed:.3g} units per clip"
        if scene.full_speed > 0
        else "grey: nothing moves",
    }


def _about(scene: LiveScene) -> Mapping[str, str]:
    """Facts that a reader of a scene asks for first; text as it is."""
    field = scene.field
    facts = {"Gaussians": f"{field.num_gaussians:,}", "stored times": str(field.num_times)}
    return facts | {
        key: shown_text(field.metadata[key])[:2000]
        for key in ("prompt", "image", "model", "seed", "license")
        if field.metadata.get(key) not in (None, "")
    }
