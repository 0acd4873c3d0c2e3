"""What Q-Align, a language model that sees, calls the quality of a clip."""

import os
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.evaluation.extractors.loading import file_hash, find_folder, state_hash
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["QAlignLevels"]

_FILES = ("*.json", "*.py", "*.safetensors", "*.bin", "*.model")
_QUESTION = (
    "USER: How would you rate the quality of this video?\n<|image|>\nASSISTANT: The quality of the video is"
)
_PARTS = ("tokenizer", "image_processor", "preferential_ids_")
_IMAGE, _IMAGE_TOKEN = "<|image|>", -200  # of mPLUG-Owl2


class QAlignLevels:
    """Logits of "excellent", "good", "fair", "poor" and "bad", as Q-Align would go on after the question.

    All frames stand in one prompt, "How would you rate the quality of this video?". Frames are padded to
    squares with the mean colour of CLIP, by the model's own image processor brought to 448 x 448.

    Differs: the code of Q-Align takes one frame per second of a video; here `num_frames` are taken at equal
    distances, the first and the last included, since generated clips are a few seconds long.

    The licence is non-commercial (S-Lab 1.0; LLaMA 2 is below), and the repository runs code of its own, so
    both have to be wanted: read the code, then give `trust_remote_code=True`, best with the commit that was
    read as `revision`. That code is for transformers 4.36. Under transformers 5 such code may run with
    weights drawn at random and say nothing, so that is refused. A model that was loaded otherwise can be
    given.

    Args:
        source: Folder or Hub id; "q-future/one-align" when omitted; or the loaded model itself, with its
            `tokenizer`, `image_processor` and `preferential_ids_`.
        num_frames: Frames of a clip that the model sees; all of a clip that has fewer.
        trust_remote_code: Whether the code of the repository may run.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        device: Where a model that is loaded here runs, in float16; on the CPU in float32.

    Raises:
        ValueError: If the code may not run, or `num_frames` is not positive.
        ImportError: If transformers is missing, or is one that the code of Q-Align is not made for.
        FileNotFoundError: If files are missing; says where to get them.
        TypeError: If something else is given.
    """

    def __init__(
        self,
        source: Any = None,
        *,
        num_frames: int = 8,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "cuda",
    ) -> None:
        if num_frames < 1:
            raise ValueError(f"num_frames must be positive, got {num_frames}.")
        card = EXTRACTORS["q-align"]
        if source is None or isinstance(source, str | os.PathLike):
            self._model, weights = _load(
                source,
                trust_remote_code=trust_remote_code,
                revision=revision,
                local_files_only=local_files_only,
                device=device,
            )
        else:
            lacking = [name for name in _PARTS if not hasattr(source, name)]
            if lacking or not isinstance(source, nn.Module):
                raise TypeError(
                    f"source must be a path, a Hub id or a model with {', '.join(_PARTS)}, got a "
                    f"{type(source).__name__}{' without ' + ', '.join(lacking) if lacking else ''}."
                )
            self._model, weights = source.eval(), state_hash(source)
        self._num_frames = num_frames
        self._spec = ExtractorSpec(
            "Q-Align",
            "logits of the five levels, asked of a video",
            f"{num_frames} frames at equal distances, padded to squares with the mean colour, then as its "
            "image processor does",
            weights,
            card.licence,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    @torch.no_grad()
    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "level=5"]:
        """Logits of the five words, from excellent to bad.

        Args:
            frames: RGB of one clip.

        Returns:
            Five numbers, float32 on the CPU.

        Raises:
            ValueError: If there is no frame, or the model does not return five finite logits.
        """
        if not len(frames):
            raise ValueError("frames must be at least one, got none.")
        from PIL import Image

        model = self._model
        count = min(self._num_frames, len(frames))
        chosen = frames[torch.linspace(0, len(frames) - 1, count).round().long()]
        mean = tuple(int(value * 255) for value in model.image_processor.image_mean)
        squares = rearrange(_squares(chosen.cpu(), mean), "t c h w -> t h w c").contiguous()
        pictures = [Image.fromarray(square) for square in squares.numpy()]
        pixels = model.image_processor.preprocess(pictures, return_tensors="pt")["pixel_values"]
        weight = next(weight for weight in model.parameters() if weight.is_floating_point())  # not quantised
        pixels = pixels.to(weight.device, weight.dtype)
        tokens = _question_tokens(model.tokenizer).to(weight.device)
        logits = model(tokens, images=[pixels])["logits"][0, -1, model.preferential_ids_].float().cpu()
        if logits.shape != (5,) or not bool(logits.isfinite().all()):
            raise ValueError(f"the model must return five finite logits, got {logits.tolist()}.")
        return logits


def _load(
    source: str | os.PathLike[str] | None,
    *,
    trust_remote_code: bool,
    revision: str | None,
    local_files_only: bool,
    device: str | torch.device,
) -> tuple[Any, str]:
    card = EXTRACTORS["q-align"]
    if not trust_remote_code:
        raise ValueError(
            f"{card.title} runs code of its repository, {card.page}, under the licence {card.licence}. If "
            "you have read both and agree, give trust_remote_code=True, and the commit you read as revision; "
            "or load the model yourself and give it as source."
        )
    try:
        import transformers
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "transformers":
            raise
        raise ModuleNotFoundError(
            f"{card.title} needs transformers: pip install '{card.needs[0]}'", name="transformers"
        ) from None
    if int(transformers.__version__.split(".")[0]) >= 5:
        raise ImportError(
            f"{card.title} needs transformers of version 4, its code is for 4.36.1, got "
            f"{transformers.__version__}, under which its numbers may be wrong without a word. Use an "
            f"environment with `pip install '{card.needs[0]}'`, or load the model yourself and give it as "
            "source."
        )
    folder = find_folder(card, source, files=_FILES, revision=revision, local_files_only=local_files_only)
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, trust_remote_code=True, torch_dtype=dtype, local_files_only=True
        )
    except OSError as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(f"{folder} does not hold {card.title} whole: {reason}") from error
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    return model.eval().to(device), file_hash(*files)


def _squares(frames: Tensor, colour: tuple[int, ...]) -> Tensor:
    """Frames in the middle of squares of one colour."""
    height, width = frames.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = torch.tensor(colour, dtype=torch.uint8)[:, None, None].repeat(len(frames), 1, side, side)
    padded[..., top : top + height, left : left + width] = frames
    return padded


def _question_tokens(tokenizer: Any) -> Tensor:
    """The question with the mark of the frames in it; only its first half begins a text."""
    before, after = (list(tokenizer(part).input_ids) for part in _QUESTION.split(_IMAGE))
    if after and after[0] == tokenizer.bos_token_id:
        after = after[1:]
    return torch.tensor([[*before, _IMAGE_TOKEN, *after]])
