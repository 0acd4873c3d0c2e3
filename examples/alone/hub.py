"""Saving and loading alone: a learned part of your own in a folder, weights and configuration."""

import tempfile

import torch

from diff4splat.hub import HubModule


class Head(HubModule):
    def __init__(self, dim: int = 7) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(dim, 3)


with tempfile.TemporaryDirectory() as folder:
    Head(5).save_pretrained(folder)
    print("weights", Head.from_pretrained(folder).linear.weight.norm().item())
