"""A tiny video autoencoder for previews, which reads the published weights of TAEHV.

TAEHV (github.com/madebyollin/taehv, MIT) imitates the autoencoders of public video models at a fraction of
their time and memory. Weights have the same names and shapes here, so that its safetensors files load.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.backbones.tiny_vae_layers import Memory, make_decoder, make_encoder, run_layers
from diff4splat.files import PICKLE_SUFFIXES, read_safetensors
from diff4splat.hub import HubModule, load_state, resolve_file

__all__ = ["TINY_VAES", "TinyVideoVAE", "tiny_vae_layout"]

_WAN_22: dict[str, Any] = {"latent_channels": 48, "patch_size": 2}
_HUNYUAN_15: dict[str, Any] = {"latent_channels": 32, "patch_size": 2}
_LTX: dict[str, Any] = {"latent_channels": 128, "patch_size": 4, "temporal_stride": 8}

TINY_VAES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "taew2_1": {"latent_channels": 16},
        "taew2_2": _WAN_22,
        "taew2_2_super": {**_WAN_22, "variant": "super"},
        "taecvx": {"latent_channels": 16, "frame_multiple": 8},
        "taehv": {"latent_channels": 16},
        "taehv1_5": _HUNYUAN_15,
        "taehv1_5_super": {**_HUNYUAN_15, "variant": "super"},
        "taeltx_2": _LTX,
        "taeltx2_3": _LTX,
        "taeos1_3": {"latent_channels": 16},
    }
)
"""Options of `TinyVideoVAE` by the name of the published file.

"taew2_1" is for Wan 2.1 and for the 14-billion models of Wan 2.2, "taew2_2" for its 5-billion model, "taecvx"
for CogVideoX, "taehv" for HunyuanVideo, "taehv1_5" for its version 1.5, "taeltx_2" and "taeltx2_3" for LTX-2
and 2.3, "taeos1_3" for Open-Sora 1.3; "super" has a larger decoder.
"""

_PICKLES = (*PICKLE_SUFFIXES, ".pickle", ".pkl")


class TinyVideoVAE(HubModule):
    r"""Autoencoder of clips in the latents of a larger one, already normalised as diffusion models see them.

    Frames are convolved one by one, but a memory block sees the frame before, too, $y_i = B(x_i, x_{i-1})$
    with $x_{-1} = 0$. The encoder merges $s$ frames to one, the decoder splits one into $s$. So a clip can be
    computed piece by piece, if each block keeps its last frame for the next piece, and comes out the same.

    The encoder is not causal: latent $j$ is made of frames $sj$ to $sj + s - 1$ and of those before them,
    where the last frame stands for those beyond the end. The decoder drops the first $s - 1$ frames.

    Args:
        latent_channels: Channels of a latent.
        patch_size: Pixels per side that the first layer folds into channels; a latent has 8 times as many.
        temporal_stride: Frames per latent after the first, $s$: 1, 2, 4 or 8.
        width: Channels at the highest resolution; 64 in all published weights.
        variant: "base", or "super" with a larger decoder.
        frame_multiple: Clips have m * k + 1 frames with this as m, or `temporal_stride` when omitted. It is 8
            for CogVideoX, whose own autoencoder does not give back other numbers of frames.

    Raises:
        ValueError: If a number is out of range, or `variant` is unknown.

    Examples:
        >>> tiny = TinyVideoVAE(latent_channels=5, width=2)
        >>> latents = tiny.encode(torch.rand(1, 9, 3, 16, 24))
        >>> latents.shape, tiny.decode(latents).shape
        (torch.Size([1, 3, 5, 2, 3]), torch.Size([1, 9, 3, 16, 24]))
    """

    def __init__(
        self,
        latent_channels: int = 16,
        *,
        patch_size: int = 1,
        temporal_stride: int = 4,
        width: int = 64,
        variant: Literal["base", "super"] = "base",
        frame_multiple: int | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("latent_channels", latent_channels),
            ("patch_size", patch_size),
            ("width", width),
        ):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}.")
        if temporal_stride not in (1, 2, 4, 8):
            raise ValueError(f"temporal_stride must be 1, 2, 4 or 8, got {temporal_stride}.")
        if variant not in ("base", "super"):
            raise ValueError(f'variant must be "base" or "super", got {variant!r}.')
        self.patch_size = patch_size
        self.spec = LatentSpec(
            latent_channels, temporal_stride, 8 * patch_size, frame_multiple=frame_multiple
        )
        pixel_channels = 3 * patch_size**2
        self.encoder = make_encoder(pixel_channels, width, latent_channels, temporal_stride)
        self.decoder = make_decoder(latent_channels, width, pixel_channels, temporal_stride, variant=variant)

    def encode(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        *,
        chunk_size: int | None = 1,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a clip.

        Args:
            video: Values in [0, 1]; frames and size by the rules of `spec`; any device.
            chunk_size: Latent frames computed at a time, which bounds the memory; None for all at once. The
                result is the same to within rounding.

        Returns:
            Normalised latents, float32 also where the weights have half precision.

        Raises:
            ValueError: If channels, frames or a side do not fit, or `chunk_size` is below 1.
        """
        _check("video", video, channels=3)
        self.spec.check_frames(video.shape[1])
        self.spec.check_size(*video.shape[-2:])
        stride = self.spec.temporal_stride
        frames = F.pixel_unshuffle(video.to(self._weight), self.patch_size)
        frames = torch.cat((frames, frames[:, -1:].expand(-1, stride - 1, -1, -1, -1)), dim=1)
        memory: Memory = {}
        latents = [run_layers(self.encoder, piece, memory) for piece in _pieces(frames, chunk_size, stride)]
        return self._widened(torch.cat(latents, dim=1))

    def decode(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        *,
        chunk_size: int | None = 1,
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """The clip of normalised latents.

        Args:
            latents: As `encode` and `VideoBackbone.generate` give them; any device.
            chunk_size: Latent frames computed at a time, which bounds the memory; None for all at once. The
                result is the same to within rounding.

        Returns:
            Video in [0, 1], float32 also where the weights have half precision.

        Raises:
            ValueError: If channels or the number of latents do not fit, or `chunk_size` is below 1.
        """
        return self.decode_unclamped(latents, chunk_size=chunk_size).clamp(0, 1)

    def decode_unclamped(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        *,
        chunk_size: int | None = 1,
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """As `decode`, but colours may leave [0, 1], so that those beyond keep their gradients.

        Args:
            latents: As `encode` and `VideoBackbone.generate` give them.
            chunk_size: Latent frames computed at a time; None for all at once.

        Returns:
            Video, float32 also where the weights have half precision.

        Raises:
            ValueError: If channels or the number of latents do not fit, or `chunk_size` is below 1.
        """
        _check("latents", latents, channels=self.spec.channels)
        num_frames = self.spec.num_frames(latents.shape[1])
        memory: Memory = {}
        pieces = _pieces(latents.to(self._weight), chunk_size, 1)
        frames = [
            F.pixel_shuffle(run_layers(self.decoder, piece, memory), self.patch_size) for piece in pieces
        ]
        return self._widened(torch.cat(frames, dim=1)[:, -num_frames:])

    def check_fits(self, spec: LatentSpec) -> None:
        """Refuse to stand in for the autoencoder of a backbone whose latents are of another kind.

        Args:
            spec: Latents of the backbone; channels and strides are compared.

        Raises:
            ValueError: If they differ; names the published weights that would fit.
        """
        own, wanted = _latents_of(self.spec), _latents_of(spec)
        if own != wanted:
            with torch.device("meta"):
                fitting = [n for n in TINY_VAES if _latents_of(self.for_model(n).spec) == wanted]
            hint = f"; of that kind are {', '.join(fitting)}" if fitting else ""
            raise ValueError(f"tiny_vae must have the latents of the backbone, {wanted}, got {own}{hint}.")

    @classmethod
    def for_model(cls, name: str) -> "TinyVideoVAE":
        """The form of published weights, with random ones.

        Args:
            name: One of `TINY_VAES`.

        Returns:
            A fresh module.

        Raises:
            ValueError: If no published weights have that name.
        """
        return cls(**TINY_VAES[_known(name)])

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        filename: str | None = None,
        model: str | None = None,
    ) -> "TinyVideoVAE":
        """Load a published file, or what `save_pretrained` wrote.

        Args:
            name_or_path: A safetensors file of TAEHV; or a folder or Hub id, which holds a config.json or the
                file that `filename` names.
            revision: Branch, tag or commit on the Hub.
            local_files_only: Use what the Hub cache holds, without network.
            subfolder: Folder inside the folder or repository.
            filename: A file of TAEHV in there, for instance "taew2_2.safetensors".
            model: Which of `TINY_VAES` the file is, told by its shapes and its name when omitted. Shapes do
                not tell CogVideoX from Wan 2.1: say "taecvx" if the file is not called so.

        Returns:
            The module on the CPU in evaluation mode, in float32.

        Raises:
            FileNotFoundError: If a file cannot be found.
            ValueError: If a file is a pickle, damaged, or of another model, or an option does not go with it.
        """
        if filename is not None:
            filename = filename if subfolder is None else f"{subfolder}/{filename}"
            _refuse_pickle(filename)
            path = resolve_file(name_or_path, filename, revision=revision, local_files_only=local_files_only)
            return cls._from_file(path, model)
        path = Path(name_or_path).expanduser()
        if path.is_file():
            _refuse_pickle(path)
            for name, value in (("revision", revision), ("subfolder", subfolder)):
                if value is not None:
                    raise ValueError(f"{name} must be None for the file {path}, got {value!r}.")
            return cls._from_file(path, model)
        if model is not None:
            raise ValueError(f"model is for a file, which filename names in a folder, got {model!r} alone.")
        folder = path / (subfolder or "")
        if folder.is_dir() and not (folder / "config.json").is_file():
            files = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))) or "none"
            raise FileNotFoundError(
                f"{folder} has no config.json; name a file with filename= (there: {files})."
            )
        return super().from_pretrained(
            name_or_path, revision=revision, local_files_only=local_files_only, subfolder=subfolder
        )

    @classmethod
    def _from_file(cls, path: Path, model: str | None) -> "TinyVideoVAE":
        """Load a file that has no config: the shapes tell its form, and the name which of those it is."""
        state = read_safetensors(path)
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        alike = [name for name in TINY_VAES if _shapes_of(name) == shapes]
        if model is None and not alike:
            raise ValueError(f"{path} must hold one of {', '.join(TINY_VAES)}, got {_kind_of(shapes)}.")
        if model is not None and _known(model) not in alike:
            got = alike[0] if alike else _kind_of(shapes)
            raise ValueError(f"{path} must hold {model}, got {got}.")
        named = [name for name in alike if name in path.stem.lower()]
        with torch.random.fork_rng(devices=[]):  # the draws are all replaced
            tiny = cls.for_model(model or max(named, key=len, default=alike[0]))
        load_state(tiny, state, source=path)
        return tiny.eval()

    @property
    def _weight(self) -> Tensor:
        """Any of the weights, which tells their type and device."""
        return next(self.parameters())

    def _widened(self, values: Tensor) -> Tensor:
        return values.to(torch.promote_types(self._weight.dtype, torch.float32))


def tiny_vae_layout(shapes: Mapping[str, Sequence[int]]) -> str | None:
    """Which published weights a file has the form of, from what its header says.

    Args:
        shapes: Shape of each tensor by name.

    Returns:
        The first of `TINY_VAES` with these shapes; None if there is none. Some share a form, so
        "taew2_1" also stands for "taecvx", "taehv" and "taeos1_3", and "taeltx_2" for "taeltx2_3".

    Examples:
        >>> tiny = TinyVideoVAE.for_model("taew2_2")
        >>> tiny_vae_layout({name: value.shape for name, value in tiny.state_dict().items()})
        'taew2_2'
    """
    found = {name: tuple(shape) for name, shape in shapes.items()}
    return next((name for name in TINY_VAES if _shapes_of(name) == found), None)


@functools.cache
def _shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = TinyVideoVAE.for_model(name).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def _kind_of(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What a file holds whose shapes are those of no published weights."""
    if any(_shapes_of(name).keys() == shapes.keys() for name in TINY_VAES):
        channels = shapes["encoder.17.weight"][0]
        return f"an autoencoder of this kind with other sizes and {channels} latent channels"
    return f"another kind of model, with weights such as {', '.join(sorted(shapes)[:2]) or 'none'}"


def _latents_of(spec: LatentSpec) -> str:
    stride = f"{spec.temporal_stride} x {spec.spatial_stride} x {spec.spatial_stride}"
    return f"{spec.channels} channels of stride {stride}"


def _known(name: str) -> str:
    if name not in TINY_VAES:
        raise ValueError(f"model must be one of {', '.join(TINY_VAES)}, got {name!r}.")
    return name


def _refuse_pickle(path: str | PurePath) -> None:
    if PurePath(path).suffix.lower() in _PICKLES:
        raise ValueError(
            f"{path} is a pickle, which can run code when read; take the safetensors file of that name, "
            "as in the folder safetensors of github.com/madebyollin/taehv."
        )


def _check(name: str, values: Tensor, *, channels: int) -> None:
    if values.ndim != 5 or values.shape[2] != channels or not values.is_floating_point():
        kind = str(values.dtype).removeprefix("torch.")
        raise ValueError(
            f"{name} must be floating point [batch frame channel={channels} height width], "
            f"got {kind} {list(values.shape)}."
        )


def _pieces(frames: Tensor, chunk_size: int | None, stride: int) -> Iterator[Tensor]:
    """The frames of so many latents each."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be >= 1 or None, got {chunk_size}.")
    yield from frames.split(frames.shape[1] if chunk_size is None else chunk_size * stride, dim=1)
