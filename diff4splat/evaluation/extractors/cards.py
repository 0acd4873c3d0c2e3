"""What has to be known about each network: what it serves, where it comes from, under which licence."""

from dataclasses import dataclass

__all__ = ["EXTRACTORS", "ExtractorCard"]


@dataclass(frozen=True)
class ExtractorCard:
    """A network that metrics need and that is fetched by its user.

    Args:
        kind: Short name, for `load_extractor` and the command line.
        title: What it is.
        metrics: Keys of the metrics that it serves, see `METRICS`.
        source: Hub id from which it comes when no source is given.
        files: Names of the files that are needed of it; of alternatives, which ones are separated by " or ".
        licence: Licence of the weights.
        megabytes: Size of the weights, about.
        needs: Packages beside those of the package itself, as pip takes them.
        factory: Where to import the class from, "package.module:name".
    """

    kind: str
    title: str
    metrics: tuple[str, ...]
    source: str
    files: tuple[str, ...]
    licence: str
    megabytes: int
    needs: tuple[str, ...]
    factory: str

    @property
    def page(self) -> str:
        """Web page of the default source."""
        return f"https://huggingface.co/{self.source}"


_WEIGHTS = "model.safetensors or pytorch_model.bin"
_CLIP_FILES = ("config.json", _WEIGHTS, "vocab.json", "merges.txt", "tokenizer_config.json")
_HERE = "diff4splat.evaluation.extractors"
_TRANSFORMERS = ("diff4splat[diffusers]",)


def _table(*cards: ExtractorCard) -> dict[str, ExtractorCard]:
    return {card.kind: card for card in cards}


EXTRACTORS: dict[str, ExtractorCard] = _table(
    ExtractorCard(
        "i3d",
        "I3D, Kinetics-400",
        ("fvd", "kvd"),
        "flateon/FVD-I3D-torchscript",
        ("i3d_torchscript.pt",),
        "none stated for the conversion; the original I3D is Apache-2.0",
        51,
        (),
        f"{_HERE}.i3d:I3DFeatures",
    ),
    ExtractorCard(
        "clip",
        "CLIP ViT-B/32, antialiased as by CLIP's own code",
        ("clip_score",),
        "openai/clip-vit-base-patch32",
        _CLIP_FILES,
        "MIT",
        605,
        _TRANSFORMERS,
        f"{_HERE}.clip:ClipEmbeddings",
    ),
    ExtractorCard(
        "clip-background",
        "CLIP ViT-B/32, not antialiased as by VBench",
        ("background_consistency",),
        "openai/clip-vit-base-patch32",
        _CLIP_FILES,
        "MIT",
        605,
        _TRANSFORMERS,
        f"{_HERE}.clip:background_embeddings",
    ),
    ExtractorCard(
        "dino",
        "DINO ViT-B/16",
        ("subject_consistency",),
        "facebook/dino-vitb16",
        ("config.json", _WEIGHTS),
        "Apache-2.0",
        343,
        _TRANSFORMERS,
        f"{_HERE}.dino:DinoFeatures",
    ),
    ExtractorCard(
        "clip-large",
        "CLIP ViT-L/14, whose embeddings aesthetic heads take",
        ("clip_aesthetic",),
        "openai/clip-vit-large-patch14",
        _CLIP_FILES,
        "MIT",
        1711,
        _TRANSFORMERS,
        f"{_HERE}.clip:ClipEmbeddings",
    ),
    ExtractorCard(
        "aesthetic",
        "improved aesthetic predictor, a head on clip-large",
        ("clip_aesthetic",),
        "trl-lib/ddpo-aesthetic-predictor",
        ("aesthetic-model.pth",),
        "Apache-2.0",
        4,
        _TRANSFORMERS,
        f"{_HERE}.aesthetic:load_aesthetic_ratings",
    ),
    ExtractorCard(
        "q-align",
        "Q-Align (OneAlign), mPLUG-Owl2 on LLaMA 2",
        ("qa_quality",),
        "q-future/one-align",
        ("config.json", "*.py", "the weights", "tokenizer files"),
        "S-Lab 1.0, non-commercial; on LLaMA 2, whose licence holds too",
        16400,
        ("transformers==4.36.1",),
        f"{_HERE}.q_align:QAlignLevels",
    ),
)
"""The networks with weights, by the name that `load_extractor` takes."""
