"""One clip over two processes gives what one process gives; gloo on the CPU stands in for GPUs."""

import socket

import pytest
import torch
from backbones.speed_parts import backbone, sample
from torch import distributed
from torch.multiprocessing import spawn

from diff4splat.backbones.speed import SpeedOptions, apply_speed

pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not distributed.is_gloo_available(), reason="needs gloo"),
]


def work(rank: int, port: int, folder: str) -> None:
    store = distributed.TCPStore("127.0.0.1", port, 2, is_master=rank == 0)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        parts = backbone()
        torch.accelerator.device_count = lambda: 2  # diffusers asks; the CPU does not count as one
        speed = apply_speed(parts, SpeedOptions(context_parallel="ulysses"))
        tokens: list[int] = []
        parts.transformer.blocks[1].norm1.register_forward_pre_hook(
            lambda module, inputs: tokens.append(inputs[0].shape[1])
        )
        latents = sample(parts.transformer, speed, frames=4)
        torch.save((latents, set(tokens), speed.found), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


def test_two_processes_share_the_tokens(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(work, (port, str(tmp_path)), nprocs=2)
    exact = sample(backbone().transformer, frames=4)
    for rank in range(2):
        latents, tokens, found = torch.load(tmp_path / f"{rank}.pt")
        assert tokens == {4 * 5 * 3 // 2}
        assert found == {"context_parallel": "ulysses over 2 processes"}
        torch.testing.assert_close(latents, exact, rtol=1e-5, atol=1e-5)
