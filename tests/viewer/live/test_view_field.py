import logging
import socket
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
import torch
from viewer.browser import until
from viewer.scenes import rolling_ball, sideways

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.viewer import view_field


@pytest.fixture(scope="module")
def field() -> DeformableGaussianField:
    return rolling_ball(num_ground=100, num_ball=50)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0}, "seconds must be positive, got 0"),
        ({"seconds": float("nan")}, "seconds must be positive"),
        ({"port": -1}, "port must be from 0 to 65535, got -1"),
        ({"port": 65_536}, "port must be from 0 to 65535"),
        ({"host": "nowhere.invalid"}, "host must be an address such as 127.0.0.1, got 'nowhere.invalid'"),
        ({"cameras": sideways().batch(None)}, "cameras must have no batch axes"),
        ({"cameras": sideways().select([])}, "cameras must hold at least one camera"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_starts(field, options, words) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match=words):
        view_field(field, **options)
    assert threading.active_count() == before


def test_fields_that_are_none_are_refused(field) -> None:
    with pytest.raises(ValueError, match="field must have no batch axes"):
        view_field(field.batch(None))
    with pytest.raises(ValueError, match="at least one Gaussian"):
        view_field(field.select([]))
    broken = replace(field, delta_means=field.delta_means * torch.nan)
    with pytest.raises(ValueError, match="delta_means must be finite"):
        view_field(broken)


def test_without_viser_it_says_what_to_install(field, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'diff4splat\[viewer\]'"):
        view_field(field)


def listening(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_it_starts_says_nothing_by_itself_and_ends_whole(field, capfd) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    before = {thread for thread in threading.enumerate() if thread.name != "diff4splat-render"}
    with view_field(field, port=0) as viewer:
        assert viewer.address == f"http://127.0.0.1:{viewer.port}"
        assert listening(viewer.port)
        port = viewer.port
        with urllib.request.urlopen(viewer.address, timeout=10) as page:
            assert b"<html" in page.read()
        for path in ("/scene.safetensors", "/../_viser.py", "/%2e%2e/%2e%2e/_viser.py", "/etc/passwd"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(viewer.address + path, timeout=10)
        assert viewer.server.request_share_url() is None  # no page can publish it
    until(lambda: not listening(port), "the port is closed")
    viewer.stop()  # a second time
    viewer.wait()  # returns at once

    def left() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name != "diff4splat-render"} - before

    until(lambda: not left(), "no thread is left")
    assert capfd.readouterr().out == ""


def test_nobody_waits_for_a_server_that_takes_long_to_end(field, monkeypatch) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    viewer, go = view_field(field, port=0), threading.Event()
    end = viewer.server.stop
    monkeypatch.setattr(viewer.server, "stop", lambda: (go.wait(60), end()))
    port = viewer.port
    viewer.stop()
    assert listening(port)  # the server has not ended
    go.set()
    until(lambda: not listening(port), "it has ended")


def test_a_port_that_is_taken_gives_way_to_the_next_and_is_said(field, caplog) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.INFO, logger="diff4splat"), view_field(field, port=port) as viewer:
            assert viewer.port > port and listening(viewer.port)
        assert f"port {port} is taken, so it is {viewer.port}" in caplog.messages


def test_another_host_than_this_machine_is_warned_of(field, caplog) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    with caplog.at_level(logging.WARNING, logger="diff4splat"):
        with view_field(field, port=0):
            assert not caplog.messages
        with view_field(field, port=0, host="0.0.0.0") as viewer:
            assert viewer.address.startswith("http://localhost:")
    assert caplog.messages == ["everyone who reaches this machine at 0.0.0.0 can look at the scene"]
    with pytest.raises(OSError, match="host must be an address of this machine, got '192.0.2.1'"):
        view_field(field, host="192.0.2.1")
