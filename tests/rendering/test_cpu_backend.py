import os
import subprocess
import sys
import textwrap
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from rendering.scenes import NAMES, images_and_gradients, random_cameras, random_gaussians

import diff4splat.rendering
from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import cpu_backend, render


def test_needles_and_ends_of_the_image_equal_the_oracle():
    gaussians = random_gaussians(61, seed=9)
    long = Gaussians(
        gaussians.means, gaussians.quaternions, gaussians.scales * torch.tensor([40.0, 0.02, 0.02]),
        gaussians.opacities, gaussians.harmonics,
    )  # fmt: skip
    for height, width in ((1, 1), (16, 16), (17, 33), (5, 47)):
        cameras = random_cameras(1, height, width)
        expected, _ = images_and_gradients(long, cameras, backend="reference")
        image, _ = images_and_gradients(long, cameras, backend="cpu")
        assert ((image - expected).abs() > 1e-4).sum() <= 2


def test_thin_splats_a_thousand_times_as_long_as_wide_equal_the_oracle():
    """Splats of 600 x 0.6 pixels at all angles, through the image and past it."""
    count, generator = 29, torch.Generator().manual_seed(3)
    angles = torch.linspace(0, torch.pi, count)
    turns = torch.stack([(angles / 2).cos(), 0 * angles, 0 * angles, (angles / 2).sin()], dim=-1)
    along = torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=-1)
    reach = 6 * torch.randn(count, 1, generator=generator)
    thin = Gaussians(
        reach * along + 0.3 * torch.randn(count, 3, generator=generator) + torch.tensor([0.0, 0.0, 4.0]),
        turns,
        torch.tensor([12.0, 0.01, 0.01]).expand(count, 3),
        torch.full((count,), 0.8),
        torch.randn(count, 1, 3, generator=generator),
    ).to(dtype=torch.float64)
    lens = torch.tensor([[200.0, 0, 53], [0, 200, 44], [0, 0, 1]], dtype=torch.float64)
    cameras = Cameras(torch.eye(4, dtype=torch.float64)[None], lens[None], 89, 107)
    expected, expected_grads = images_and_gradients(thin, cameras, backend="reference")
    image, grads = images_and_gradients(thin, cameras, backend="cpu")
    # products of 600 pixels and their squares would cost two digits more in float32
    assert ((image - expected).abs() > 1e-4).sum() <= 2
    for name, actual, grad in zip(NAMES, grads, expected_grads, strict=True):
        assert (actual - grad).norm() <= 1e-4 * grad.norm(), name


def test_same_bits_on_every_run_and_for_every_number_of_threads():
    gaussians, cameras = random_gaussians(1009, dtype=torch.float32), random_cameras(dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            results.append(images_and_gradients(gaussians, cameras, backend="cpu"))
    finally:
        torch.set_num_threads(before)
    for image, grads in results[1:]:
        assert torch.equal(image, results[0][0])
        assert all(torch.equal(one, other) for one, other in zip(grads, results[0][1], strict=True))


def test_number_of_threads_follows_torch(monkeypatch):
    pytest.importorskip("numba")
    from diff4splat.rendering import cpu_threads

    gaussians, cameras = random_gaussians(11), random_cameras(1, 33, 17)
    tasks = cpu_threads._tasks

    class Spy:
        def put(self, task):
            asked.append(task)
            tasks.put(task)

        def get(self):
            return tasks.get()

    monkeypatch.setattr(cpu_threads, "_tasks", Spy())
    for threads in (1, 2, 4):
        asked = []
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        render(gaussians, cameras, backend="cpu")
        assert len(asked) == 2 * (threads - 1)  # to sort and to draw


@pytest.mark.parametrize("fails_in", ["the caller", "a helper"])
def test_a_thread_that_fails_keeps_none_waiting(monkeypatch, fails_in):
    numba = pytest.importorskip("numba")
    from diff4splat.rendering import cpu_threads
    from diff4splat.rendering.cpu_jit import finish_job, new_counters, next_job

    @numba.njit(nogil=True)
    def work(counters, taken):
        while True:
            job = next_job(counters, 0, 1000)
            if job < 0:
                return
            taken[job] += 1
            finish_job(counters, 0)

    @numba.njit(nogil=True)
    def take_one(counters):
        return next_job(counters, 0, 1000)

    caller = threading.current_thread()

    def kernel(counters, taken):
        if (threading.current_thread() is caller) == (fails_in == "the caller"):
            take_one(counters)
            raise OSError("no such kernel")
        work(counters, taken)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    taken = np.zeros(1000, np.int64)
    with pytest.raises(cpu_threads.KernelError, match="OSError: no such kernel"):
        for _ in range(100):  # a helper may come too late to fail
            cpu_threads.run(kernel, new_counters(4), 1000, taken)
            time.sleep(0.01)
    taken[:] = 0
    cpu_threads.run(work, new_counters(4), 1000, taken)  # the threads are still there
    assert (taken == 1).all()


def test_memory_is_never_lent_twice_and_comes_back():
    pytest.importorskip("numba")
    from diff4splat.rendering import cpu_memory

    arrays = [cpu_memory.empty((101 + i, 67), np.float32) for i in range(7)]
    for i, array in enumerate(arrays):
        assert array.ctypes.data % 64 == 0
        array.fill(i)
    assert [set(np.unique(array)) for array in arrays] == [{float(i)} for i in range(7)]
    place = arrays[0].ctypes.data
    view = torch.from_numpy(arrays[0])[3:5]
    del arrays[0], array
    assert cpu_memory.empty((101, 67), np.float32).ctypes.data != place and (view == 0).all()
    del view
    assert cpu_memory.zeros((101, 67), np.float32).sum() == 0
    assert sum(v.nbytes for v in cpu_memory._idle) <= cpu_memory._MOST_IDLE


def test_what_a_gradient_needs_is_let_go_after_it():
    gaussians, cameras = random_gaussians(7), random_cameras(1, 9, 9)
    seen = render(replace(gaussians, means=gaussians.means.requires_grad_()), cameras).color.sum()
    seen.backward()
    with pytest.raises(RuntimeError, match="second time"):
        seen.backward()


def test_very_wide_images():
    lens = torch.tensor([[[1e5, 0, 3e5], [0, 1e5, 0.5], [0, 0, 1]]])
    wide = Cameras(torch.eye(4)[None], lens, 1, 600_001)
    values = [2.5, 0.0, 1.0], [1.0, 0, 0, 0], [1e-3] * 3, 0.9, [[1.0, 1, 1]]
    one = Gaussians(*(torch.tensor(v)[None] for v in values))
    alpha = render(one, wide, backend="cpu").alpha[0, 0, 0]
    assert alpha[550_000] > 0.89 and alpha[:540_000].sum() == 0


def test_more_pairs_than_their_numbers_can_say(monkeypatch):
    pytest.importorskip("numba")
    from diff4splat.rendering import cpu_pipeline

    monkeypatch.setattr(cpu_pipeline, "_MOST_PAIRS", 10)
    with pytest.raises(MemoryError, match="pairs of a Gaussian and a tile"):
        render(random_gaussians(), random_cameras(), backend="cpu")


def test_compiled_kernels_are_told_apart_by_all_of_their_code(monkeypatch, tmp_path):
    pytest.importorskip("numba")
    from diff4splat.rendering import cpu_jit

    before = cpu_jit.kernel(_twice).py_func.__qualname__
    monkeypatch.setattr(cpu_jit, "__file__", str(tmp_path / "cpu_jit.py"))
    (tmp_path / "cpu_rasterization.py").write_text("other code")
    cpu_jit._fingerprint.cache_clear()
    try:
        assert cpu_jit.kernel(_twice).py_func.__qualname__ != before
    finally:
        cpu_jit._fingerprint.cache_clear()


def test_default_devices_of_others_do_no_harm():
    gaussians, cameras = random_gaussians(7), random_cameras(1, 9, 9)
    expected = render(gaussians, cameras).color
    with torch.device("meta"):
        assert torch.equal(render(gaussians, cameras).color, expected)


def test_rendering_leaves_the_number_of_threads_of_torch_alone():
    done = run("""
        before = torch.get_num_threads()
        alpha()
        assert torch.get_num_threads() == before
    """)
    assert done.returncode == 0, done.stderr


def test_several_threads_may_render_at_once():
    gaussians, cameras = random_gaussians(499, dtype=torch.float32), random_cameras(dtype=torch.float32)
    expected = images_and_gradients(gaussians, cameras, backend="cpu")
    with ThreadPoolExecutor(5) as pool:
        tasks = [pool.submit(images_and_gradients, gaussians, cameras, backend="cpu") for _ in range(20)]
        for image, grads in (task.result(timeout=60) for task in tasks):
            assert torch.equal(image, expected[0])
            assert all(torch.equal(one, other) for one, other in zip(grads, expected[1], strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_returns_the_dtype_of_the_inputs(dtype):
    image, grads = images_and_gradients(
        random_gaussians(41, dtype=dtype), random_cameras(1, 11, 13, dtype=dtype), backend="cpu"
    )
    assert image.dtype == dtype
    assert all(v.dtype == dtype and v.isfinite().all() for v in grads)


def test_gradients_of_expanded_and_single_outputs():
    gaussians, cameras = random_gaussians(41), random_cameras(1, 11, 13)
    for name in ("color", "alpha", "depth"):
        grads = []
        for backend in ("cpu", "reference"):
            means = gaussians.means.clone().requires_grad_()
            moved = Gaussians(
                means, gaussians.quaternions, gaussians.scales, gaussians.opacities, gaussians.harmonics
            )
            getattr(render(moved, cameras, backend=backend), name).sum().backward()
            grads.append(means.grad)
        torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-4)


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(cpu_backend, "_state", types.SimpleNamespace(pipeline=None, failure=None))


def test_without_numba_plain_torch_takes_over_with_one_warning(without_kernels, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("diff4splat.rendering.cpu_")]:
        if name != cpu_backend.__name__:
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(diff4splat.rendering, name.rpartition(".")[2])
    gaussians, cameras = random_gaussians(101), random_cameras(1, 29, 23)
    with pytest.warns(RuntimeWarning, match="pip install --upgrade numba") as record:
        image, grads = images_and_gradients(gaussians, cameras, backend="cpu")
    assert len(record) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, _ = images_and_gradients(gaussians, cameras, backend="cpu")
    expected, expected_grads = images_and_gradients(gaussians, cameras, backend="reference")
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-12)
    assert torch.equal(image, again)
    for actual, grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(actual, grad)


def test_a_kernel_that_does_not_compile_hands_over_to_plain_torch(without_kernels, monkeypatch):
    errors = pytest.importorskip("numba.core.errors")
    from diff4splat.rendering import cpu_kernels

    def fails(*_):
        raise errors.LoweringError("no code for this machine")

    monkeypatch.setattr(cpu_kernels, "draw_forward", fails)
    gaussians, cameras = random_gaussians(41), random_cameras(1, 11, 13)
    with pytest.warns(RuntimeWarning, match="no code for this machine"):
        rendering = render(gaussians, cameras, backend="cpu")
    torch.testing.assert_close(rendering.color, render(gaussians, cameras, backend="reference").color)


SMALL = """
    import sys
    import torch
    from diff4splat.cameras import trajectory
    from diff4splat.gaussians import Gaussians
    from diff4splat.rendering import render

    def alpha():
        values = [0.0, 0, 3], [1.0, 0, 0, 0], [1.0, 1, 1], 1.0, [[1.0, 1, 1]]
        one = Gaussians(*(torch.tensor(v)[None] for v in values))
        return render(one, trajectory.static(1, height=8, width=8), backend="cpu").alpha.max().item()
"""


def run(code, **environment):
    script = textwrap.dedent(SMALL) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=120,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_numba_waits_for_the_first_frame_and_a_forked_child_renders():
    pytest.importorskip("numba")
    done = run(
        """
        import os
        torch.set_num_threads(2)
        assert "numba" not in sys.modules
        expected = alpha()
        child = os.fork()
        if child == 0:
            os._exit(7 if alpha() == expected else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert alpha() == expected
        """
    )
    assert done.returncode == 0, done.stderr


def test_python_may_end_right_after_a_frame():
    """With a thread still in compiled code, or on its way there, the process would be aborted."""
    for _ in range(5):
        done = run("torch.set_num_threads(4)\nalpha()")
        assert done.returncode == 0, done.stderr


def test_kernels_compile_where_no_folder_can_be_written(monkeypatch):
    numba = pytest.importorskip("numba")
    from numba.core import caching

    from diff4splat.rendering import cpu_jit

    for kind in (caching.CacheImpl, *caching.CacheImpl.__subclasses__()):
        monkeypatch.setattr(kind, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(_twice)
    compiled = cpu_jit.kernel(_twice)
    assert compiled(4) == 8


def _twice(value):
    return 2 * value


def test_only_what_a_gradient_needs_is_kept(monkeypatch):
    kept = []
    original = cpu_backend._Rasterize.forward

    def spy(ctx, *inputs):
        outputs = original(ctx, *inputs)
        kept.append(sum(last - first for first, last in ctx.frames))
        return outputs

    monkeypatch.setattr(cpu_backend._Rasterize, "forward", spy)
    gaussians, cameras = random_gaussians(7), random_cameras(3)
    render(gaussians, cameras, backend="cpu")
    wanted = Gaussians(**{**vars(gaussians), "means": gaussians.means.requires_grad_()})
    with torch.no_grad():
        render(wanted, cameras, backend="cpu")
    render(wanted, cameras, backend="cpu").color.sum().backward()
    assert kept == [0, 0, 3]
