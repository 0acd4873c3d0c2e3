"""One part in a program of your own: fit a depth map up to scale and shift.

`diff4splat.losses` loads torch and little else; the losses take tensors and return one value per image.
"""

import torch
import tyro

from diff4splat.losses import pearson_depth_loss, total_variation_loss


def main(height: int = 48, width: int = 64, num_steps: int = 200) -> float:
    """Fit a map of ones plus noise to a ramp; the loss ignores the ramp's slope and offset.

    Args:
        height: Rows.
        width: Columns.
        num_steps: Steps of Adam.

    Returns:
        The depth loss at the end.
    """
    generator = torch.Generator().manual_seed(0)
    target = torch.linspace(2.0, 5.0, width).expand(1, height, width)
    depth = (1 + 0.1 * torch.randn(1, height, width, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([depth], lr=0.02)
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = pearson_depth_loss(depth, target) + 0.1 * total_variation_loss(depth)
        loss.sum().backward()
        optimizer.step()
    final = pearson_depth_loss(depth, target).item()
    print(f"1 - correlation after {num_steps} steps: {final:.4f}")
    return final


if __name__ == "__main__":
    tyro.cli(main)
