"""A reconstructor of frames behind a video model that gives latents."""

import pytest
import torch
from pipelines.fake_parts import FrameReader
from torch import Tensor, nn

from diff4splat.backbones import PretrainedReference
from diff4splat.cameras import trajectory
from diff4splat.pipelines import DecodedReconstructor, Reconstructor


class Doubler(nn.Module):
    """Latents of three channels to frames of twice the size; counts how often it was moved."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.moves = 0

    def decode(self, latents: Tensor) -> Tensor:
        return (self.gain * latents).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)

    def to(self, *args: object, **kwargs: object) -> "Doubler":
        self.moves += 1
        return super().to(*args, **kwargs)


def latents() -> Tensor:
    return torch.rand(1, 3, 3, 5, 7, generator=torch.Generator().manual_seed(0)) / 2


def cameras():
    return trajectory.forward(3, height=10, width=14).batch(None)


def test_the_reconstructor_gets_the_decoded_frames_and_the_cameras_as_they_are() -> None:
    reader = FrameReader()
    made = DecodedReconstructor(Doubler(), reader)
    assert isinstance(made, Reconstructor)
    path, times = cameras(), torch.tensor([0.0, 0.3])
    made(latents(), path, times=times, max_gaussians=11)
    (call,) = reader.calls
    expected = 2 * latents().repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    torch.testing.assert_close(call["video"], expected)
    assert call["cameras"] is path and call["times"] is times and call["max_gaussians"] == 11


def test_the_photograph_takes_the_place_of_the_first_frame() -> None:
    reader = FrameReader()
    photo = torch.full((1, 3, 41, 57), 0.25)
    photo[..., 28:] = 0.75  # left and right halves
    DecodedReconstructor(Doubler(), reader)(latents(), cameras(), image=photo)
    video = reader.calls[0]["video"]
    torch.testing.assert_close(video[0, 0, :, :, :6], torch.full((3, 10, 6), 0.25))
    torch.testing.assert_close(video[0, 0, :, :, 8:], torch.full((3, 10, 6), 0.75))
    decoded = 2 * latents().repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    torch.testing.assert_close(video[:, 1:], decoded[:, 1:])


def test_decoder_and_reconstructor_move_together_and_the_decoder_is_no_submodule() -> None:
    decoder, reader = Doubler(), FrameReader()
    made = DecodedReconstructor(decoder, reader)
    assert made.to(dtype=torch.float64) is made
    assert decoder.gain.dtype == reader.offset.dtype == torch.float64
    assert decoder.moves == 1, "by its own rule, not over its head"
    assert [name for name, _ in made.named_parameters()] == ["reconstructor.offset"]


@pytest.mark.parametrize("known", [None, PretrainedReference("movies", "me/frames", "a" * 40)])
def test_it_comes_from_where_the_reconstructor_comes_from(known: PretrainedReference | None) -> None:
    reader = FrameReader()
    assert DecodedReconstructor(Doubler(), reader).reference is None
    reader.reference = known
    assert DecodedReconstructor(Doubler(), reader).reference is known
