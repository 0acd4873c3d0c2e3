"""Transformer parts that the reconstruction models and the bundled video backbone both build on."""

from diff4splat.transformer.attention import CrossAttention, SelfAttention
from diff4splat.transformer.blocks import FeedForward, Modulation, TransformerBlock
from diff4splat.transformer.factorized import run_factorized
from diff4splat.transformer.norms import RMSNorm
from diff4splat.transformer.positions import rotary_positions, rotate_by_position, sinusoidal_embedding
from diff4splat.transformer.stack import run_blocks

__all__ = [
    "CrossAttention",
    "FeedForward",
    "Modulation",
    "RMSNorm",
    "SelfAttention",
    "TransformerBlock",
    "rotary_positions",
    "rotate_by_position",
    "run_blocks",
    "run_factorized",
    "sinusoidal_embedding",
]
