"""Videos of any method: found, read in true order and colour, and what is wrong with them as a value."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts.files import write_video
from PIL import Image
from torch import Tensor

from diff4splat.assets import load_video, save_video
from diff4splat.evaluation import find_video, load_clip, read_video, write_frames

COUNT, HEIGHT, WIDTH = 11, 46, 62
ASKED = {"num_frames": COUNT, "height": HEIGHT, "width": WIDTH}


def frames(count: int = COUNT, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Frame i is grey of level 20 i, with a red corner, so that order, orientation and channels show."""
    found = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    found += (torch.arange(count, dtype=torch.uint8) * 20)[:, None, None, None]
    found[:, 0, : height // 2, : width // 2] = 250
    found[:, 1:, : height // 2, : width // 2] = 10
    return found


def picture(file: Path, level: int, mode: str = "RGB", size: tuple[int, int] = (7, 5)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).convert(mode).save(file)


@pytest.mark.parametrize("suffix", [".mp4", ".webp", ".gif", ".mov", ".mkv", ".webm"])
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a clip ü{suffix}"
    truth = frames()
    if suffix in (".mp4", ".webp", ".gif"):
        save_video(truth / 255, file, fps=10)
    else:
        codec = {".mov": "libx264", ".mkv": "ffv1", ".webm": "libvpx"}[suffix]
        write_video(file, truth.permute(0, 2, 3, 1).numpy(), 10, codec=codec)
    read = read_video(file)
    assert read.dtype == torch.uint8 and read.shape == truth.shape
    margin = 8  # chroma blurs across the corner's edges, and libvpx is coarse
    for rows, columns in (
        (slice(0, 23 - margin), slice(0, 31 - margin)),
        (slice(23 + margin, 46), slice(0, 62)),
    ):
        difference = read[:, :, rows, columns].int() - truth[:, :, rows, columns].int()
        assert difference.abs().max() <= 14 and difference.double().mean().abs() < 1.5


def test_an_animated_png(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames())
    first.save(tmp_path / "a.apng", format="PNG", save_all=True, append_images=others, duration=100)
    found = load_clip(tmp_path, "a", **ASKED)
    assert found.frames is not None and torch.equal(found.frames, frames())


@pytest.mark.parametrize("count", [1, 13])
def test_frames_without_loss(tmp_path: Path, count: int) -> None:
    noise = torch.randint(0, 256, (count, 3, 5, 7), generator=torch.Generator().manual_seed(3)).byte()
    write_frames(tmp_path / "a b", noise)
    assert torch.equal(read_video(tmp_path / "a b"), noise)
    assert sorted(file.name for file in (tmp_path / "a b").iterdir())[-1] == f"{count - 1:04d}.png"
    bytes_before = {file.name: file.read_bytes() for file in (tmp_path / "a b").iterdir()}
    write_frames(tmp_path / "again", noise)
    assert bytes_before == {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()}
    with pytest.raises(ValueError, match="has something in it"):
        write_frames(tmp_path / "a b", noise)
    with pytest.raises(ValueError, match="frames must have frames"):
        write_frames(tmp_path / "none", noise[:0])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        write_frames(tmp_path / "none" / "a", noise)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b", "again"]


def test_nothing_is_left_of_frames_whose_writing_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written = Image.Image.save, []

    def ended(self, file, **options):
        written.append(file)
        if len(written) == 3:
            raise KeyboardInterrupt
        save(self, file, **options)

    monkeypatch.setattr(Image.Image, "save", ended)
    with pytest.raises(KeyboardInterrupt):
        write_frames(tmp_path / "a", frames(5))
    assert len(written) == 3 and [*tmp_path.iterdir()] == []


def test_frames_are_bytes(tmp_path: Path) -> None:
    """0 to 1 cannot be taken for 0 to 255: floats are refused, and what is read has no range to mistake."""
    with pytest.raises(Exception, match="uint8|UInt8"):
        write_frames(tmp_path / "a", torch.rand(2, 3, 5, 7))


def test_pictures_are_in_natural_order(tmp_path: Path) -> None:
    """Sorted as texts, frame_10 would come before frame_9."""
    for index in (10, 9, 1, 11, 2):
        picture(tmp_path / "clip" / f"frame_{index}.png", index)
    picture(tmp_path / "clip" / ".frame_3.png", 3)
    picture(tmp_path / "clip" / "thumbnails" / "4.png", 4)
    (tmp_path / "clip" / "notes.txt").write_text("no picture")
    assert read_video(tmp_path / "clip")[:, 0, 0, 0].tolist() == [1, 2, 9, 10, 11]


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA"])
def test_grey_palettes_and_opaque_alpha_become_rgb(tmp_path: Path, mode: str) -> None:
    level = {"1": 255, "P": 51}.get(mode, 77)  # 51 is in the palette that Pillow takes
    picture(tmp_path / "0.png", level, mode)
    assert (read_video(tmp_path) == level).all() and read_video(tmp_path).shape == (1, 3, 5, 7)


def test_pictures_that_are_refused(tmp_path: Path) -> None:
    cases = {
        "alpha": (Image.new("RGBA", (7, 5), (1, 2, 3, 254)), "must not be transparent, got an alpha of 254"),
        "deep": (Image.fromarray(np.full((5, 7), 40000, np.uint16)), "8 bits per channel, got 16 bits"),
    }
    for name, (image, message) in cases.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "0.png")
        with pytest.raises(ValueError, match=f"0.png {message}|0.png must be .*{message}"):
            read_video(tmp_path / name)
    (tmp_path / "print").mkdir()
    Image.new("CMYK", (7, 5)).save(tmp_path / "print" / "0.jpg")
    with pytest.raises(ValueError, match="0.jpg must be RGB or grey .*CMYK"):
        read_video(tmp_path / "print")
    (tmp_path / "moving").mkdir()
    save_video(frames(3) / 255, tmp_path / "moving" / "0.webp")
    with pytest.raises(ValueError, match="0.webp must be one picture, got an animation of 3"):
        read_video(tmp_path / "moving")


def test_sixteen_bits_of_colour_are_refused(tmp_path: Path) -> None:
    """Pillow opens such a PNG as RGB and cuts the lower bits off without a word."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(range(6)))
    content = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert Image.open(tmp_path / "0.png").mode == "RGB"
    with pytest.raises(ValueError, match="got 16 bits of mode RGB"):
        read_video(tmp_path)


def test_mixed_sizes_and_damage_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "mixed" / "0.png", 1)
    picture(tmp_path / "mixed" / "1.png", 1, size=(7, 6))
    with pytest.raises(ValueError, match="1.png must have the size of the first frame, 5 x 7, got 6 x 7"):
        read_video(tmp_path / "mixed")
    (tmp_path / "mixed" / "1.png").write_bytes((tmp_path / "mixed" / "0.png").read_bytes()[:50])
    with pytest.raises(ValueError, match="1.png is not a readable picture"):
        read_video(tmp_path / "mixed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty must hold pictures"):
        read_video(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="none.mp4"):
        read_video(tmp_path / "none.mp4")


@pytest.mark.parametrize("lost", [10, 700, None])
def test_a_damaged_mp4(tmp_path: Path, lost: int | None) -> None:
    """A file that is cut off just before its end has all of its frames, the last of them half decoded."""
    file = tmp_path / "cat" / "forward.mp4"
    noise = torch.randint(0, 256, (COUNT, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(5))
    write_video(file, noise.byte().permute(0, 2, 3, 1).numpy(), 10)
    content = file.read_bytes()
    file.write_bytes(b"no video" if lost is None else content[:-lost])
    with pytest.raises(ValueError, match="forward.mp4 is"):
        read_video(file)
    clip = load_clip(tmp_path, "cat/forward", **ASKED)
    assert clip.frames is None and clip.path == file and "forward.mp4 is" in clip.problem


def test_damage_inside_an_mp4(tmp_path: Path) -> None:
    """FFmpeg fills such gaps with what it guesses, and says nothing unless it is asked."""
    file = tmp_path / "a.mp4"
    noise = torch.randint(0, 256, (COUNT, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(5))
    write_video(file, noise.byte().permute(0, 2, 3, 1).numpy(), 10)
    content = file.read_bytes()
    begin, found = content.index(b"mdat") + 50, 0
    for place in range(begin, len(content), (len(content) - begin) // 13):
        flipped = bytearray(content)
        flipped[place] ^= 4
        file.write_bytes(flipped)
        assert len(load_video(file)) == COUNT
        problem = load_clip(tmp_path, "a", **ASKED).problem
        assert problem == "" or re.fullmatch(r".*a.mp4 is damaged at frame \d+.", problem)
        found += bool(problem)
    assert found >= 4  # not every changed bit is against the rules of the format


PLACES = [
    "cat/forward.mp4",
    "cat_forward.MP4",
    "cat-forward.webm",
    "cat/forward",
    "cat_forward",
    "cat/forward.gif",
]


@pytest.mark.parametrize("place", PLACES)
def test_videos_are_found(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "my vidéos"
    target = folder / place
    if target.suffix:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        picture(target / "0.png", 1)
    picture(folder / "cat" / "upward" / "0.png", 1)  # another clip of the scene
    picture(folder / "cat" / "forward.png", 1)  # a still beside it is no video
    assert find_video(folder, "cat/forward") == target


@pytest.mark.parametrize("other", PLACES[1:])
def test_two_videos_of_one_clip_are_both_named(tmp_path: Path, other: str) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "forward.mp4").touch()
    if Path(other).suffix:
        (tmp_path / other).touch()
    else:
        (tmp_path / other).mkdir()  # also where it is empty
    with pytest.raises(ValueError, match="'cat/forward' must have one video") as caught:
        find_video(tmp_path, "cat/forward")
    assert "cat/forward.mp4" in str(caught.value) and other in str(caught.value)
    assert load_clip(tmp_path, "cat/forward", **ASKED).problem == str(caught.value)


def test_a_scene_is_no_clip(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "forward" / "0.png", 1)
    with pytest.raises(FileNotFoundError, match="no video of clip 'cat'"):
        find_video(tmp_path, "cat")
    with pytest.raises(FileNotFoundError, match="no such folder of videos: .*none"):
        find_video(tmp_path / "none", "cat")


def test_problems_are_values(tmp_path: Path) -> None:
    def problem(name: str, **changes: int) -> str:
        clip = load_clip(tmp_path, name, **(ASKED | changes))
        assert clip.frames is None and clip.problem
        return clip.problem

    write_frames(tmp_path / "whole", frames())
    assert "no video of clip 'cat/forward'" in problem("cat/forward")
    assert "must have 13 frames, got too few: 11" in problem("whole", num_frames=13)
    assert "must have 7 frames, got too many: 11" in problem("whole", num_frames=7)
    assert "must have 23 x 31 pixels, got 46 x 62" in problem("whole", height=23, width=31)
    assert "must have 45 x 62 pixels" in problem("whole", height=45)  # pictures gain no row
    (tmp_path / "empty").mkdir()
    assert "empty must hold pictures" in problem("empty")
    whole = load_clip(tmp_path, "whole", **ASKED)
    assert whole.problem == "" and whole.path == tmp_path / "whole"
    assert whole.frames is not None and torch.equal(whole.frames, frames())


def test_whatever_a_decoder_raises_is_a_problem_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow raises "TypeError: Missing dimensions" on damaged TIFF files; one clip must not end a run."""
    picture(tmp_path / "a" / "0.tif", 1)

    def damaged(self: object, **options: object) -> None:
        raise TypeError("Missing dimensions")

    monkeypatch.setattr(Image.Image, "load", damaged)
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", damaged)
    problem = load_clip(tmp_path, "a", num_frames=1, height=5, width=7).problem
    assert problem.endswith("a cannot be decoded: TypeError: Missing dimensions")


@pytest.mark.parametrize(("height", "width"), [(45, 62), (46, 61), (45, 61)])
def test_rows_that_a_format_added_are_cut_off(tmp_path: Path, height: int, width: int) -> None:
    """H.264 with 4:2:0 chroma has even sizes only; the last row or column is there twice."""
    truth = frames(COUNT, height, width)
    save_video(truth / 255, tmp_path / "a.mp4")
    clip = load_clip(tmp_path, "a", num_frames=COUNT, height=height, width=width)
    assert clip.frames is not None and clip.frames.shape == truth.shape and clip.frames.is_contiguous()
    assert (clip.frames.double() - truth.double()).abs().mean() < 3
    wider = load_clip(tmp_path, "a", num_frames=COUNT, height=height - 1, width=width - 1)
    assert wider.frames is None and "pixels" in wider.problem
