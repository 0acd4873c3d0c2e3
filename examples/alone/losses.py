"""Losses alone: supervise depth and motion, with gradients."""

import torch

from diff4splat.losses import motion_loss, pearson_depth_loss, total_variation_loss, weighted_sum

depth = torch.rand(2, 24, 32, requires_grad=True)
motion = torch.zeros(2, 100, 3, requires_grad=True)
geometric = pearson_depth_loss(depth, torch.rand(2, 24, 32))
terms = {"geometric": geometric, "motion": motion_loss(motion, torch.randn(2, 100, 3))}
total = weighted_sum(terms) + 0.1 * total_variation_loss(depth)
total.mean().backward()
print("loss", total.mean().item(), "gradients", depth.grad.norm().item(), motion.grad.norm().item())
