"""The deformation module alone, behind tokens of any Transformer: 10 channels at any times."""

import torch

from diff4splat.models import DeformationHead

head = DeformationHead(32, width=8, pixel_width=4)
levels = [torch.randn(1, 2, 3, 4, 32) for _ in range(4)]
times, frame_times = torch.tensor([[0.0, 0.3, 1.0]]), torch.tensor([[0.0, 1.0]])
deformation = head(levels, torch.randn(1, 2, 4, 24, 32), times, frame_times)
(deformation - 1).square().mean().backward()
gradients = sum(weight.grad.norm().item() for weight in head.parameters() if weight.grad is not None)
print("deformation", list(deformation.shape), "gradients", gradients)
