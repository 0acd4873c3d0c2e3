"""Tiny networks with random weights, saved in the formats of the real ones."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

SIZE = 32  # of the input of the tiny CLIP, pixels
TOKENS = 13  # that it reads


class TinyI3D(nn.Module):
    """Called as the I3D of StyleGAN-V is; its features see colours, places and time."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (3, 7, 7), stride=(2, 56, 56))

    def forward(
        self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> Tensor:
        if rescale:
            x = x / 127.5 - 1
        if resize:
            x = nn.functional.interpolate(
                x, size=[x.shape[2], 224, 224], mode="trilinear", align_corners=False
            )
        features = self.conv(x).abs().mean(dim=[2, 3, 4])
        return features if return_features else features.softmax(dim=1)


class Plain(nn.Module):
    """The same without flags."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (3, 7, 7), stride=(2, 56, 56))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).abs().mean(dim=[2, 3, 4])


def save_i3d(path: Path, seed: int = 0) -> TinyI3D:
    torch.manual_seed(seed)
    network = TinyI3D()
    torch.jit.script(network).save(str(path))
    return network


def save_clip(folder: Path, seed: int = 0, **options: object) -> None:
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = save_tokenizer(folder)
    text = CLIPTextConfig(
        vocab_size=len(words),
        max_position_embeddings=TOKENS,
        bos_token_id=words["<|startoftext|>"],
        eos_token_id=words["<|endoftext|>"],
        pad_token_id=words["<|endoftext|>"],
        **sizes,
    )
    vision = CLIPVisionConfig(image_size=SIZE, patch_size=8, **sizes)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=11)
    CLIPModel(config).save_pretrained(folder, **options)


def save_tokenizer(folder: Path) -> dict[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "lo", "low</w>"]
    words = {entry: index for index, entry in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\nl o\nlo w</w>\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return words


def save_vit(folder: Path, seed: int = 0, **options: object) -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,
        patch_size=16,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder, **options)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
