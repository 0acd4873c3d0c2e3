import json

import av
import numpy as np
import pytest
import torch

from diff4splat.assets import load_video, save_video


def smooth_clip(num_frames: int = 7, height: int = 46, width: int = 62) -> torch.Tensor:
    """Colour ramps that move: what a codec should keep nearly as it is."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    time = torch.linspace(0, 1, num_frames)[:, None, None]
    return torch.stack(
        [0.8 * x + 0.2 * time, 0.9 * y + 0.1 * time, 0.5 + 0.4 * torch.sin(3 * (x + y + time))], dim=1
    )


def test_frames_come_back_in_order_and_in_colour(tmp_path):
    video = smooth_clip()
    save_video(video, tmp_path / "clip.mp4")
    loaded = load_video(tmp_path / "clip.mp4")
    assert loaded.shape == video.shape and loaded.dtype == torch.float32
    errors = (loaded - video).square().mean(dim=(1, 2, 3))
    assert (-10 * errors.log10() > 35).all()  # dB
    nearest = torch.stack([(video - frame).square().mean(dim=(1, 2, 3)) for frame in loaded]).argmin(dim=1)
    assert nearest.tolist() == [*range(7)]


def test_flat_colours_are_exact_to_two_levels(tmp_path):
    colors = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.6, 0.9]]
    )
    video = colors[:, :, None, None].expand(-1, -1, 34, 38)
    save_video(video, tmp_path / "clip.mp4")
    assert (load_video(tmp_path / "clip.mp4") - video).abs().max() <= 2.01 / 255


def test_what_players_need_to_know_is_in_the_file(tmp_path):
    path = tmp_path / "clip.mp4"
    save_video(smooth_clip(), path, fps=29.97)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=1e-3)
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            1,
            1,
            1,
            1,
        )
        assert stream.frames == 7
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it has arrived whole


@pytest.mark.parametrize(("height", "width"), [(47, 62), (46, 61), (47, 61), (1, 1)])
def test_odd_sizes_gain_a_copy_of_the_last_row_or_column(tmp_path, height, width):
    video = smooth_clip(3, height, width) if height > 1 else torch.full((3, 3, 1, 1), 0.5)
    save_video(video, tmp_path / "clip.mp4")
    loaded = load_video(tmp_path / "clip.mp4")
    assert loaded.shape[-2:] == (height + height % 2, width + width % 2)
    padded = np.pad(video.numpy(), ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    assert np.mean((loaded.numpy() - padded) ** 2) < 10 ** (-3.2)


def test_values_outside_the_range_are_clamped_and_inputs_kept(tmp_path):
    video = torch.full((2, 3, 18, 22), 1.7, dtype=torch.float64, requires_grad=True)
    save_video(video, tmp_path / "clip.mp4")
    assert load_video(tmp_path / "clip.mp4").min() > 0.99
    assert (video == 1.7).all()


def test_errors(tmp_path):
    path, video = tmp_path / "clip.mp4", smooth_clip(2)
    with pytest.raises(ValueError, match="fps"):
        save_video(video, path, fps=0)
    with pytest.raises(ValueError, match=".mp4, .webp, .gif"):
        save_video(video, tmp_path / "clip.avi")
    with pytest.raises(ValueError, match="frames"):
        save_video(video[:0], path)
    with pytest.raises(ValueError, match="NaN"):
        save_video(torch.full((2, 3, 8, 8), torch.nan), path)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_video(video, tmp_path / "none" / "clip.mp4")
    with pytest.raises(FileNotFoundError, match="clip.mp4"):
        load_video(path)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("fps", [0.0002, 0.00056, 0.3, 24000 / 1001, 59.94, 240, 100000])
def test_an_mp4_keeps_slow_and_fast_rates(tmp_path, fps):
    save_video(smooth_clip(2), tmp_path / "clip.mp4", fps=fps)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize("fps", [1e-6, 1e12])
def test_an_mp4_refuses_rates_that_it_cannot_hold(tmp_path, fps):
    with pytest.raises(ValueError, match=r"fps must be from 0.0001 to 100000 in a .mp4, got 1e"):
        save_video(smooth_clip(2), tmp_path / "clip.mp4", fps=fps)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["12:30.mp4", "file:clip.gif", "concat:a|b.mp4", "-%03d.mp4", "ü ?.webp"])
def test_any_name_of_a_file_will_do(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save_video(smooth_clip(3), name)
    assert len(load_video(name)) == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_that_are_no_video_are_named(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not a video at all" * 50)
    with pytest.raises(ValueError, match="clip.mp4"):
        load_video(path)
    save_video(smooth_clip(), path)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match="clip.mp4"):
        load_video(path)


def test_the_provenance_of_an_mp4_is_its_comment(tmp_path):
    provenance = {"prompt": 'Tässä "kuppi" <b>', "seed": 7, "licence": None}
    save_video(smooth_clip(), tmp_path / "clip.mp4", provenance=provenance)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert json.loads(container.metadata["comment"]) == provenance
    for value in (torch.zeros(1), float("nan"), {1}):
        with pytest.raises(ValueError, match="provenance must consist of JSON values"):
            save_video(smooth_clip(), tmp_path / "other.mp4", provenance={"seed": value})
    assert not (tmp_path / "other.mp4").exists()
