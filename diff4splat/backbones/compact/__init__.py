"""The bundled small video model."""

from diff4splat.backbones.compact.backbone import CompactBackbone
from diff4splat.backbones.compact.dit import CompactDiT
from diff4splat.backbones.compact.text import ByteTextEncoder
from diff4splat.backbones.compact.vae import CausalVideoVAE

__all__ = ["ByteTextEncoder", "CausalVideoVAE", "CompactBackbone", "CompactDiT"]
