"""Which sizes of which layout are which published weights, and what loads them: tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["VARIANTS", "Variant"]

_FUN_CAMERA = (
    "from diff4splat.backbones.wan_fun_camera import WanFunCameraBackbone",
    'backbone = WanFunCameraBackbone.from_pretrained("{folder}")',
    "latents = backbone.generate(image, cameras)",
)
_TEXT_ENCODER = (
    "import torch",
    "from transformers import {cls}",
    'text_encoder = {cls}.from_pretrained("{folder}", dtype=torch.bfloat16)',
)


@dataclass(frozen=True)
class Variant:
    """Published weights, known by their sizes.

    Args:
        title: Name that they are published under.
        layout: Name in `LAYOUTS`.
        sizes: What the words of the layout stand for; those that are left out do not matter.
        num_blocks: How many blocks there are.
        options: Parts of the layout that they have.
        model: Name in `KNOWN_MODELS`; None for weights that this package cannot run.
        loader: "package.module:Class" that loads them.
        code: Lines of Python that do so; {path} and {folder} stand for the file and its folder.
        num_tensors: Of a layout that is not complete, how many there are.
    """

    title: str
    layout: str
    sizes: Mapping[str, int]
    num_blocks: int = 0
    options: tuple[str, ...] = ()
    model: str | None = None
    loader: str = ""
    code: tuple[str, ...] = ()
    num_tensors: int | None = None


_WAN_1B = {"dim": 1536, "ffn": 8960, "text": 4096}
_WAN_5B = {"dim": 3072, "ffn": 14336, "text": 4096}
_WAN_14B = {"dim": 5120, "ffn": 13824, "text": 4096}
_FUN = "diff4splat.backbones.wan_fun_camera:WanFunCameraBackbone"
_T2V_1B, _T2V_14B = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Wan-AI/Wan2.1-T2V-14B-Diffusers"
_I2V_14B, _TI2V_5B = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "Wan-AI/Wan2.2-TI2V-5B-Diffusers"

# title, width, channels in and out, options, known model, repository of a matching configuration
_WAN = (
    ("Wan2.1-T2V-1.3B", _WAN_1B, 16, 16, (), None, _T2V_1B),
    ("Wan2.1-T2V-14B or an expert of Wan2.2-T2V-A14B", _WAN_14B, 16, 16, (), None, _T2V_14B),
    ("Wan2.1-I2V-14B (480P or 720P)", _WAN_14B, 36, 16, ("image",), "wan2.1-i2v-14b-480p", _I2V_14B),
    ("an expert of Wan2.2-I2V-A14B", _WAN_14B, 36, 16, (), None, "Wan-AI/Wan2.2-I2V-A14B-Diffusers"),
    ("Wan2.2-TI2V-5B", _WAN_5B, 48, 48, (), "wan2.2-ti2v-5b", _TI2V_5B),
    ("Wan2.1-Fun-1.3B-InP", _WAN_1B, 36, 16, ("image",), None, ""),
    ("Wan2.2-Fun-5B-InP", _WAN_5B, 100, 48, (), None, ""),
)
_FUN_MODELS = (
    ("Wan2.1-Fun-V1.1-1.3B-Control-Camera", _WAN_1B, 32, 16, ("image",), 1536, "wan2.1-fun-camera-1.3b"),
    ("Wan2.1-Fun-V1.1-14B-Control-Camera", _WAN_14B, 32, 16, ("image",), 1536, "wan2.1-fun-camera-14b"),
    ("Wan2.2-Fun-5B-Control-Camera", _WAN_5B, 100, 48, (), 6144, "wan2.2-fun-camera-5b"),
    ("an expert of Wan2.2-Fun-A14B-Control-Camera", _WAN_14B, 36, 16, (), 1536, None),
)


def _wan() -> Iterator[Variant]:
    for title, width, channels, out, options, model, repository in _WAN:
        sizes, depth = {**width, "in": channels, "out": out}, 40 if width is _WAN_14B else 30
        loader = "diffusers:WanTransformer3DModel"
        config = repository or "FOLDER_OF_A_MATCHING_CONFIG"
        single = (
            "from diffusers import WanTransformer3DModel",
            "transformer = WanTransformer3DModel.from_single_file(",
            f'    "{{path}}", config="{config}", subfolder="transformer"',
            ")",
        )
        folder = (
            "from diffusers import WanTransformer3DModel",
            'transformer = WanTransformer3DModel.from_pretrained("{folder}")',
        )
        yield Variant(title, "wan-native", sizes, depth, options, model, loader, single)
        yield Variant(title, "wan-diffusers", sizes, depth, options, model, loader, folder)
    for title, width, channels, out, options, adapter, model in _FUN_MODELS:
        sizes = {**width, "in": channels, "out": out, "adapter": adapter}
        depth, parts = 40 if width is _WAN_14B else 30, (*options, "control_adapter")
        loader, code = (_FUN, _FUN_CAMERA) if model else ("", ())
        yield Variant(title, "wan-native", sizes, depth, parts, model, loader, code)


def _cogvideox() -> Iterator[Variant]:
    code = (
        "from diffusers import CogVideoXTransformer3DModel",
        'transformer = CogVideoXTransformer3DModel.from_pretrained("{folder}")',
    )
    base = {"text": 4096, "time": 512, "head": 64, "out": 16}
    for title, layout, dim, channels, depth, options, model in (
        ("CogVideoX-2b", "cogvideox", 1920, 16, 30, (), None),
        ("CogVideoX-5b", "cogvideox", 3072, 16, 42, (), None),
        ("CogVideoX-5b-I2V", "cogvideox", 3072, 32, 42, ("positions",), "cogvideox-5b-i2v"),
        ("CogVideoX1.5-5B", "cogvideox-1.5", 3072, 16, 42, (), None),
        ("CogVideoX1.5-5B-I2V", "cogvideox-1.5", 3072, 32, 42, ("offset",), "cogvideox1.5-5b-i2v"),
    ):
        sizes = {**base, "dim": dim, "in": channels}
        loader = "diffusers:CogVideoXTransformer3DModel"
        yield Variant(title, layout, sizes, depth, options, model, loader, code)


def _tiny() -> Iterator[Variant]:
    code = (
        "from diff4splat.backbones.tiny_vae import TinyVideoVAE",
        'vae = TinyVideoVAE.from_pretrained("{path}")',
        "video = vae.decode(latents)",
    )
    for title, image, latent in (("taew2_1 or taecvx", 3, 16), ("taew2_2", 12, 48)):
        model = "taew2_2" if latent == 48 else "taew2_1"
        loader = "diff4splat.backbones.tiny_vae:TinyVideoVAE"
        yield Variant(title, "taehv", {"image": image, "latent": latent}, 0, (), model, loader, code)


def _autoencoders() -> Iterator[Variant]:
    for title, layout, cls, sizes, count in (
        ("Wan2.1", "wan-vae", "AutoencoderKLWan", {"latent": 16, "width": 96, "wide": 384}, 194),
        ("Wan2.2-TI2V-5B", "wan-vae", "AutoencoderKLWan", {"latent": 48, "width": 160, "wide": 1024}, 196),
        ("Wan2.1", "wan-vae-native", "AutoencoderKLWan", {"latent": 16, "width": 96, "wide": 384}, 194),
        (
            "Wan2.2-TI2V-5B",
            "wan-vae-native",
            "AutoencoderKLWan",
            {"latent": 48, "width": 160, "wide": 1024},
            196,
        ),
        (
            "CogVideoX",
            "cogvideox-vae",
            "AutoencoderKLCogVideoX",
            {"latent": 16, "width": 128, "deep": 512},
            436,
        ),
    ):
        source = 'from_pretrained("{folder}")'
        if layout == "wan-vae-native":  # diffusers translates the names of the one for Wan2.1 only
            source = 'from_single_file("{path}")'
            if sizes["latent"] == 48:
                source = f'from_pretrained("{_TI2V_5B}", subfolder="vae")'
        code = (f"from diffusers import {cls}", f"vae = {cls}.{source}")
        name = f"video autoencoder of {title}"
        yield Variant(name, layout, sizes, 0, (), None, f"diffusers:{cls}", code, count)


def _encoders() -> Iterator[Variant]:
    wide = {"dim": 4096, "inner": 4096, "ffn": 10240}
    for title, layout, cls, vocabulary in (
        ("UMT5-XXL, the text encoder of Wan", "umt5", "UMT5EncoderModel", 256384),
        ("T5-v1.1-XXL, the text encoder of CogVideoX", "t5", "T5EncoderModel", 32128),
        ("UMT5-XXL, the text encoder of Wan", "wan-t5", "", 256384),
    ):
        code = tuple(line.replace("{cls}", cls) for line in _TEXT_ENCODER) if cls else ()
        sizes = {**wide, "vocabulary": vocabulary}
        yield Variant(title, layout, sizes, 24, (), None, f"transformers:{cls}" if cls else "", code)
    code = (
        "from transformers import CLIPVisionModel",
        'image_encoder = CLIPVisionModel.from_pretrained("{folder}")',
    )
    sizes = {"dim": 1280, "ffn": 5120, "patch": 14}
    title = "CLIP ViT-H/14, the image encoder of Wan2.1"
    for layout in ("clip-vision", "clip-vision-bare"):  # as published, and as newer transformers save it
        yield Variant(title, layout, sizes, 32, (), None, "transformers:CLIPVisionModel", code)


VARIANTS: tuple[Variant, ...] = (
    *_wan(),
    *_cogvideox(),
    Variant(
        "MoVieS",
        "movies",
        {},
        24,
        model="movies",
        loader="diff4splat.models.movies:MoVieSReconstructor",
        code=(
            "from diff4splat.models.movies import MoVieSReconstructor",
            'reconstructor = MoVieSReconstructor.from_pretrained("{path}")',
            "field = reconstructor(video, cameras)",
        ),
    ),
    *_tiny(),
    *_autoencoders(),
    *_encoders(),
)
"""Published weights that are known by their sizes."""
