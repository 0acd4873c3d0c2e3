"""Features of clips by I3D, for the Fréchet and the kernel video distance."""

import os
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.loading import file_hash, find_file, state_hash
from diff4splat.evaluation.extractors.preparing import I3D_PREPARATION
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["I3DFeatures"]

_FLAGS = ("rescale", "resize", "return_features")


class I3DFeatures:
    """The 400 logits of an inflated Inception network that was trained on Kinetics-400, one vector per clip.

    What nearly every FVD in PyTorch is measured with: the TorchScript file of StyleGAN-V, called with
    `return_features=True`, which returns the logits before the softmax. Frames are stretched to 224 x 224 by
    bilinear interpolation without antialiasing, in [-1, 1]. StyleGAN-V leaves that to the file, called with
    `rescale=True, resize=True`; here it is done before the call, so that `spec` can say it.

    Differs: code bases that crop the middle instead of stretching, the original TensorFlow code, which
    resizes by another rule, and other conversions of I3D give other numbers.

    A TorchScript file holds a program that runs when it is called: take it from a source that you trust.

    Args:
        source: The file, a folder that holds `i3d_torchscript.pt`, or a Hub id; or a module that takes clips
            of shape (clip, rgb, frame, 224, 224) in [-1, 1] and returns one vector for each.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        batch_size: Clips that pass through the network at once.
        device: Where it runs.

    Raises:
        FileNotFoundError: If the file is not there; says where to get it.
        ValueError: If it is no TorchScript file, or one that is called otherwise.
        TypeError: If `source` is neither a path nor a module.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | nn.Module | None = None,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        batch_size: int = 8,
        device: str | torch.device = "cpu",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        if source is not None and not isinstance(source, str | os.PathLike | nn.Module):
            raise TypeError(f"source must be a path, a Hub id or a module, got {type(source).__name__}.")
        card = EXTRACTORS["i3d"]
        if isinstance(source, nn.Module):
            network, weights, licence = source, state_hash(source), ""
            name = f"{type(source).__name__}, given"
        else:
            path = find_file(card, source, revision=revision, local_files_only=local_files_only)
            try:
                network = torch.jit.load(path, map_location="cpu")
            except (RuntimeError, ValueError) as error:
                reason = str(error).partition("\n")[0]
                raise ValueError(f"{path} is no TorchScript file: {reason}") from error
            weights, licence, name = file_hash(path), card.licence, card.title
            missing = set(_FLAGS) - _arguments(network)
            if missing:
                raise ValueError(
                    f"{path} must be called with {', '.join(_FLAGS)}, as the I3D of StyleGAN-V is, but it "
                    f"does not take {', '.join(sorted(missing))}."
                )
        self._network = network.eval().to(device)
        self._flags = dict.fromkeys(_FLAGS, False) if set(_FLAGS) <= _arguments(network) else {}
        if self._flags:
            self._flags["return_features"] = True
        self._batch_size, self._device = batch_size, torch.device(device)
        self._spec = ExtractorSpec(
            name,
            "logits" if self._flags else "output",
            f"[-1, 1]: {I3D_PREPARATION}; all frames of the clip",
            weights,
            licence,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    @property
    def min_frames(self) -> int:
        """Fewest frames of a clip: I3D strides over time. The usual number is 16."""
        return 10

    @torch.no_grad()
    def __call__(
        self, frames: UInt8[Tensor, "clip frame rgb=3 height width"]
    ) -> Float[Tensor, "clip feature"]:
        """Features of clips of one size.

        Args:
            frames: RGB; clips of other lengths have other numbers, so compare equal lengths only.

        Returns:
            One vector per clip, float32 on the CPU.

        Raises:
            ValueError: If there is no clip, a clip has fewer than `min_frames` frames, or the network does
                not return one vector of finite numbers per clip.
        """
        clips, count = frames.shape[:2]
        if not clips:
            raise ValueError("frames must hold at least one clip, got none.")
        if count < self.min_frames:
            raise ValueError(f"frames must be at least {self.min_frames} per clip, got {count}.")
        parts = [self._features(part) for part in frames.split(self._batch_size)]
        return torch.cat(parts)

    def _features(self, frames: Tensor) -> Tensor:
        clips, count = frames.shape[:2]
        flat = rearrange(frames, "b t c h w -> (b t) c h w").to(self._device)
        video = rearrange(I3D_PREPARATION(flat), "(b t) c h w -> b c t h w", t=count)
        found = self._network(video, **self._flags)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != clips:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"the network must return one vector for each of {clips} clips, got {got}.")
        if not bool(found.isfinite().all()):
            raise ValueError("the network must return finite numbers, got NaN or infinity.")
        return found.float().cpu()


def _arguments(network: nn.Module) -> set[str]:
    """Names that a TorchScript module is called with; none of other modules."""
    if not isinstance(network, torch.jit.ScriptModule):
        return set()
    forward: Any = network.forward
    return {argument.name for argument in forward.schema.arguments}
