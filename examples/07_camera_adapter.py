"""Camera control for a video model that has none: train an adapter, save it, use it in a pipeline.

With no model named, a tiny random one shows every step in seconds and learns nothing worth looking at.
"""

from pathlib import Path

import torch
import tyro

from diff4splat import LDRM, Diff4SplatPipeline
from diff4splat.backbones import PluckerAdapter, WanBackbone, denoising_loss, load_camera_adapter
from diff4splat.data import procedural_sample


def tiny_wan() -> WanBackbone:
    """A random Wan2.2-TI2V of a few thousand weights, from the real classes."""
    import diffusers
    import transformers

    letters = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((c, -1.0) for c in "▁abcdefghijklmnopqrstuvwxyz"),
    ]
    text = transformers.UMT5Config(vocab_size=32, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    return WanBackbone(
        transformer=diffusers.WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=16,
            out_channels=16,
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
            rope_max_seq_len=32,
        ),
        vae=diffusers.AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        text_encoder=transformers.UMT5EncoderModel(text),
        tokenizer=transformers.T5Tokenizer(vocab=letters, extra_ids=0),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
        expand_timesteps=True,
    ).eval()


def main(
    model: str | None = None,
    output: Path = Path("camera_adapter"),
    num_frames: int = 9,
    height: int = 64,
    width: int = 64,
    steps: int = 10,
    device: str = "cpu",
) -> list[float]:
    """Train on procedural clips, one per step, and generate a scene with what was learned.

    Args:
        model: Wan for diffusers, "Wan-AI/Wan2.2-TI2V-5B-Diffusers" or a folder; a tiny random one if omitted.
        output: Folder that the adapter is written to.
        num_frames: Frames of a clip, 4 k + 1.
        height: Height of a clip, a multiple of 16 pixels, or 32 for Wan2.2-TI2V-5B.
        width: Width of a clip.
        steps: Training steps.
        device: Where to train.

    Returns:
        The loss before each step.
    """
    backbone = tiny_wan() if model is None else WanBackbone.from_pretrained(model)
    backbone.to(device).requires_grad_(False)
    adapter = PluckerAdapter(
        backbone.embed_dim, spatial_stride=backbone.spec.spatial_stride, unconditional="zeros", base=model
    ).to(device)
    backbone.attach(adapter)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for step in range(steps):
        clip = procedural_sample(step, num_frames=num_frames, height=height, width=width, num_tracks=1)
        video, cameras = clip["video"], clip["cameras"]
        with torch.no_grad():
            latents = backbone.encode(video.to(device))
        condition = backbone.condition(video[:, 0], cameras, clip["caption"])
        loss = denoising_loss(backbone, latents, condition, generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"step {step}: loss {losses[-1]:.4f}")
    adapter.save_pretrained(output)

    backbone.attach(load_camera_adapter(output).to(device))
    ldrm = LDRM.from_spec(backbone.spec, dim=64, num_layers=2, num_heads=4).to(device)  # random as well
    pipe = Diff4SplatPipeline(backbone, ldrm, num_frames=num_frames, height=height, width=width, num_steps=2)
    field = pipe(video[0, 0], cameras.batch(0), clip["caption"][0], generator=generator)
    print(f"{field.num_gaussians} Gaussians along the path")
    return losses


if __name__ == "__main__":
    tyro.cli(main)
