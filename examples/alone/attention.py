"""Attention alone: a grouped-query block with rotary positions, over the whole clip and over time."""

import torch

from diff4splat.transformer import TransformerBlock, rotary_positions, run_factorized

block = TransformerBlock(32, num_heads=4, num_key_value_heads=2)
tokens = torch.randn(1, 3 * 4 * 5, 32, requires_grad=True)
angles = rotary_positions(3, 4, 5, 8)
whole = block(tokens, angles=angles)
over_time = run_factorized(block, tokens, num_frames=3, axis="time", angles=angles)
(whole - over_time).square().mean().backward()
print("difference", (whole - over_time).norm().item(), "gradient", tokens.grad.norm().item())
