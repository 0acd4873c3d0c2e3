"""What a backbone on diffusers costs over the pipeline of diffusers, and what its guidance saves.

Run `python benchmarks/adapters.py`; with `--device cuda --height 480 --width 832 --frames 49` the clip is as
large as in the paper. The models are random, of the real classes; both loops run the same parts, by turns.
"""

from pathlib import Path
from typing import Any

import torch
import tyro
from measuring import Result, conclude, describe, fastest, machine, number, report

from diff4splat.backbones import CogVideoXBackbone, DiffusersBackbone, WanBackbone
from diff4splat.cameras import Cameras, trajectory
from diff4splat.diffusion import ConstantGuidance, CosineGuidance, network_passes

PROMPT = ["a cab"]
SCALE = 6.0
LETTERS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in "▁abc")]


def text_parts(kind: str) -> dict[str, Any]:
    """A small text encoder and its tokenizer."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=64, d_model=64, d_ff=64, d_kv=16, num_layers=1)
    encoder = getattr(transformers, f"{kind}EncoderModel")(config)
    return {"text_encoder": encoder, "tokenizer": transformers.T5Tokenizer(vocab=LETTERS, extra_ids=0)}


def wan(layers: int, heads: int) -> WanBackbone:
    """Wan2.2-TI2V in small: the full channels of the latents, a narrow autoencoder."""
    import diffusers

    vae = diffusers.AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        is_residual=True,
        scale_factor_spatial=16,
    )
    transformer = diffusers.WanTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=64,
        in_channels=48,
        out_channels=48,
        text_dim=64,
        ffn_dim=256 * heads,
        num_layers=layers,
    )
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    return WanBackbone(
        transformer, vae, scheduler=scheduler, expand_timesteps=True, **text_parts("UMT5")
    ).eval()


def cogvideox(layers: int, heads: int) -> CogVideoXBackbone:
    """CogVideoX image to video in small, with rotary positions, which take any size."""
    import diffusers

    vae = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=16, layers_per_block=1, norm_num_groups=4
    )
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=64,
        in_channels=32,
        out_channels=16,
        text_embed_dim=64,
        num_layers=layers,
        use_rotary_positional_embeddings=True,
    )
    scheduler = diffusers.CogVideoXDPMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True
    )
    return CogVideoXBackbone(transformer, vae, scheduler=scheduler, **text_parts("T5")).eval()


def bare_pipeline(backbone: DiffusersBackbone) -> Any:
    """The pipeline of diffusers, of the same parts."""
    import diffusers

    parts = {part.name: getattr(backbone, part.name) for part in backbone.parts}
    if isinstance(backbone, WanBackbone):
        pipe = diffusers.WanImageToVideoPipeline(**parts, expand_timesteps=True)
    else:
        pipe = diffusers.CogVideoXImageToVideoPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def measure(
    name: str, backbone: DiffusersBackbone, image: torch.Tensor, cameras: Cameras, steps: int, repeats: int
) -> list[Result]:
    """Results of one model."""
    pipe = bare_pipeline(backbone)
    options = {} if isinstance(backbone, WanBackbone) else {"max_sequence_length": 226}
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    def wait() -> None:
        if image.is_cuda:
            torch.cuda.synchronize()

    def generate(guidance: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        latents = backbone.generate(
            image, cameras, PROMPT, num_steps=steps, guidance=guidance, generator=generator
        )
        wait()
        return latents

    def bare() -> torch.Tensor:
        latents = pipe(
            image=image,
            prompt=PROMPT,
            num_frames=cameras.num_frames,
            height=image.shape[2],
            width=image.shape[3],
            num_inference_steps=steps,
            guidance_scale=SCALE,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            **options,
        ).frames
        wait()
        return latents if not isinstance(backbone, WanBackbone) else latents.transpose(1, 2)

    constant, cosine = ConstantGuidance(SCALE), CosineGuidance()
    difference = float((generate(constant) - bare()).abs().max())
    ours, theirs, faded = fastest([lambda: generate(constant), bare, lambda: generate(cosine)], repeats)
    handle = backbone.transformer.register_forward_hook(count)
    generate(cosine)
    handle.remove()
    expected, most = network_passes(cosine, steps), network_passes(constant, steps)
    return report(
        [
            Result(name, "largest difference of the latents", difference, "", goal=1e-3),
            Result(name, "time of the bare pipeline", theirs, "s"),
            Result(name, "time over the bare pipeline", 100 * (ours / theirs - 1), "%", goal=2.0),
            Result(name, f"passes of the cosine guidance, of {most}", calls, "", goal=expected),
            Result(name, "time of the cosine guidance", 100 * faded / ours, "%"),
        ]
    )


def main(
    *,
    device: str = "cpu",
    frames: int = 17,
    height: int = 256,
    width: int = 256,
    layers: int = 8,
    heads: int = 8,
    steps: int = 30,
    repeats: int = 3,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Measure both families.

    Args:
        device: Where the models run.
        frames: Frames of the clips, 8k + 1.
        height: Their height, pixels, a multiple of 32.
        width: Their width, pixels, a multiple of 32.
        layers: Blocks of the transformers.
        heads: Attention heads of the transformers, 64 wide each.
        steps: Sampling steps.
        repeats: Runs of each; the fastest counts.
        quick: Tiny sizes, to see that it runs.
        json: Where the results go as well.
    """
    if quick:
        frames, height, width, layers, heads, repeats = 9, 64, 64, 1, 1, 1
    facts = machine()
    print(describe(facts))
    torch.manual_seed(0)
    image = torch.rand(1, 3, height, width, device=device)
    cameras = trajectory.by_name("orbit", frames, height=height, width=width).batch(None)
    results = []
    for name, make in (("Wan", wan), ("CogVideoX", cogvideox)):
        backbone = make(layers, heads).to(device)
        parameters = sum(weight.numel() for weight in backbone.transformer.parameters()) / 1e6
        print(f"\n{name}, {number(parameters)} M parameters, {frames} frames of {height} x {width}")
        results += measure(name, backbone, image, cameras, steps, repeats)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
