"""Samples of shards: what comes back exactly, what within the stated precision, and what is refused."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from data.recording_samples import FRAMES, HEIGHT, TRACKS, WIDTH, full, same, same_bits, smooth

from diff4splat.data import Recording
from diff4splat.data.streaming import decode_sample, encode_sample, sample_words
from diff4splat.data.uids import clip_uid


def as_kept(recording: Recording, decoded: Recording) -> Recording:
    """A recording with the depth of another one, which has been compared."""
    return replace(recording, depth=decoded.depth)


def test_everything_but_depth_comes_back_bit_for_bit() -> None:
    recording = full()
    decoded = decode_sample(encode_sample(recording, video="png"))
    same(decoded, as_kept(recording, decoded))
    mask = recording.depth_mask
    error = (decoded.depth / recording.depth - 1)[mask].abs().max()
    assert 0 < error <= 2.51e-4 and not decoded.depth[~mask].any()


@pytest.mark.parametrize("video", ["mp4", "jpg", "png"])
@pytest.mark.parametrize("frames", [[0], [6], [1, 4], [2, 3, 5]])
def test_some_frames_are_those_of_the_whole(video: str, frames: list[int]) -> None:
    parts = encode_sample(full(), video=video)
    same(decode_sample(parts, frames), decode_sample(parts).select(frames))


@pytest.mark.parametrize(("video", "worst", "mean"), [("mp4", 12, 1.0), ("jpg", 12, 1.0), ("png", 0, 0)])
@pytest.mark.parametrize("size", [(23, 37), (22, 38), (1, 1), (16, 3)])
def test_frames_come_back_about_as_they_were(
    video: str, worst: int, mean: float, size: tuple[int, int]
) -> None:
    """Odd sides are extended for H.264 and cut again; all is grey, so that 4:2:0 chroma costs nothing."""
    height, width = size
    frames = torch.from_numpy(smooth(frames=19, height=height, width=width))
    decoded = decode_sample(encode_sample(Recording("a", "b", "c", frames), video=video)).video
    assert decoded.shape == frames.shape
    difference = decoded.int() - frames.int()
    assert difference.abs().max() <= worst and difference.abs().float().mean() <= mean
    assert difference.float().mean().abs() <= 0.5  # no frame is darker or brighter


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 200, 10), (7, 30, 255)])
def test_colours_are_those_of_the_frames(colour: tuple[int, int, int]) -> None:
    frames = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(5, 3, 32, 32).contiguous()
    for video in ("mp4", "jpg"):
        decoded = decode_sample(encode_sample(Recording("a", "b", "c", frames), video=video)).video
        assert (decoded.int() - frames.int()).abs().max() <= 3


@pytest.mark.parametrize("fps", [None, 0.04, 0.5, 23.976, 30000 / 1001, 999.0, 1e6])
def test_any_rate_keeps_every_frame_in_its_place(fps: float | None) -> None:
    shades = torch.arange(20, 20 + 5 * 41, 5, dtype=torch.uint8)
    frames = shades[:, None, None, None].expand(41, 3, 16, 16).contiguous()
    parts = encode_sample(Recording("a", "b", "c", frames, fps=fps))
    decoded = decode_sample(parts)
    assert decoded.fps == fps
    assert [round((value - 20) / 5) for value in decoded.video.float().mean((1, 2, 3)).tolist()] == [
        *range(41)
    ]
    for picked in ([40], [15, 16, 17], [33]):
        same_bits(decode_sample(parts, picked).video, decoded.video[picked])


@pytest.mark.parametrize("video", ["mp4", "jpg", "png"])
def test_equal_recordings_give_equal_bytes(video: str) -> None:
    one = encode_sample(full(frames=17), video=video)
    strided = full(frames=17)
    strided = replace(strided, video=strided.video.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    assert encode_sample(strided, video=video) == one


class Asked(Mapping[str, bytes]):
    """Parts that note which of them are asked for."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        self.parts, self.asked = parts, []

    def __getitem__(self, key: str) -> bytes:
        self.asked.append(key)
        return self.parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def test_only_the_pictures_of_the_frames_are_asked_for() -> None:
    parts = Asked(encode_sample(full(), video="jpg"))
    decode_sample(parts, [2, 5])
    assert {key for key in parts.asked if key.endswith("jpg")} == {"00002.jpg", "00005.jpg"}


def test_numpy_alone_reads_the_numbers() -> None:
    recording = full()
    parts = encode_sample(
        recording, "clip-1", scene="street", depth_error=1e-3, metrics={"m": float("nan"), "n": 3}
    )
    words = json.loads(parts["json"])
    assert (words["uid"], words["scene"], words["metrics"]) == ("clip-1", "street", {"m": None, "n": 3})
    assert (words["frames"], words["height"], words["width"]) == (FRAMES, HEIGHT, WIDTH)
    assert words["caption"] == recording.caption and words["numbers"] == list(recording.numbers)
    assert set(words["versions"]) == {"diff4splat", "av", "libavcodec", "numpy"}
    with np.load(io.BytesIO(parts["npz"]), allow_pickle=False) as arrays:
        codes = arrays["depth_00003"].astype(np.uint16)
        whole = np.cumsum(codes[0] * 256 + codes[1], axis=1, dtype=np.uint16)
        depth = words["depth"]["near"] * np.exp(words["depth"]["step"] * (whole - 1.0))
        seen = np.unpackbits(arrays["visibility"], axis=1)[:, :FRAMES].astype(bool)
        moving = np.unpackbits(arrays["dynamic_mask"][3])[: HEIGHT * WIDTH].reshape(HEIGHT, WIDTH)
    mask = recording.depth_mask[3].numpy()
    np.testing.assert_array_equal(whole > 0, mask)
    np.testing.assert_allclose(depth[mask], recording.depth[3].numpy()[mask], rtol=1.001e-3)
    np.testing.assert_array_equal(seen, recording.visible)
    np.testing.assert_array_equal(moving, recording.dynamic_mask[3])
    assert len(recording.tracks) == TRACKS == words["tracks"]


def test_a_video_alone() -> None:
    bare = Recording("bare", "video", "unknown", full().video)
    same(decode_sample(encode_sample(bare, video="png")), bare)
    assert sample_words(encode_sample(bare))["holds"] == []


def test_depth_that_is_known_nowhere() -> None:
    blind = replace(full(), depth_mask=torch.zeros_like(full().depth_mask))
    decoded = decode_sample(encode_sample(blind, video="png"))
    assert not decoded.depth.any() and not decoded.depth_mask.any()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_depth_that_cannot_be_is_refused(value: float) -> None:
    depth = full().depth.clone()
    depth[2, 3, 4] = value
    mask = full().depth_mask.clone()
    mask[2, 3, 4] = True
    with pytest.raises(ValueError, match="depth must be finite and > 0 where known, got 1 other"):
        encode_sample(replace(full(), depth=depth, depth_mask=mask))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uid": "a.b"}, "uid must be"),
        ({"uid": ""}, "uid must be"),
        ({"uid": "a\n"}, "uid must be"),
        ({"uid": "a" * 81}, "uid must be"),
        ({"depth_error": 0.0}, "depth_error must be"),
        ({"depth_error": 1.0}, "depth_error must be"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_sample(full(), **options)


@pytest.mark.usefixtures("without_shape_checker")
def test_another_kind_of_video() -> None:
    with pytest.raises(ValueError, match="video must be"):
        encode_sample(full(), video="webm")


@pytest.mark.parametrize("frames", [[], [7], [-1], [3, 1], [2, 2]])
def test_frames_that_are_not_there(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="frames must ascend from 0 to 6"):
        decode_sample(encode_sample(full(), video="png"), frames)


@pytest.mark.parametrize("end", ["json", "npz", "mp4"])
def test_parts_that_are_missing_or_damaged_are_named(end: str) -> None:
    parts = encode_sample(full())
    with pytest.raises(ValueError, match=f"{end}( of .*)? is missing"):
        decode_sample({key: value for key, value in parts.items() if key != end})
    for damaged in (b"", parts[end][: len(parts[end]) // 2], b"{}"):
        with pytest.raises(ValueError, match=end):
            decode_sample({**parts, end: damaged})


def test_a_video_of_an_unknown_codec_is_named() -> None:
    parts = encode_sample(full())
    with pytest.raises(ValueError, match="mp4 is of a codec that cannot be decoded"):
        decode_sample({**parts, "mp4": parts["mp4"].replace(b"avc1", b"zz~1")})


def test_a_picture_that_is_damaged_is_named() -> None:
    parts = encode_sample(full(), video="jpg")
    with pytest.raises(ValueError, match=r"00002\.jpg is no readable picture"):
        decode_sample({**parts, "00002.jpg": parts["00002.jpg"][:50]})
    with pytest.raises(ValueError, match=r"00002\.jpg is missing"):
        decode_sample({key: value for key, value in parts.items() if key != "00002.jpg"}, [2])


def test_a_clip_without_a_name_gets_one_of_its_own() -> None:
    recording = full()
    uid = sample_words(encode_sample(recording))["uid"]
    assert uid == clip_uid(recording.dataset, recording.name, recording.numbers)
    assert sample_words(encode_sample(recording.select([0, 1, 2])))["uid"] != uid
