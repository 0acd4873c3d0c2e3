"""How the tensors of models are named and shaped: tables, and what reads them.

A line of a table stands for tensors: names, a kind and sizes. In names, `{a,b}` stands for both and `*` for
the number of a block. A kind says which tensors a name has: `linear`, `conv` and `norm` a weight of these
sizes and a bias of the first, `weight` and `bias` one alone, `tensor` none but itself. A size is a number, a
word that stands for a number (`dim`), or a multiple of one (`6*dim`).
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["LAYOUTS", "Layout"]

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the tensors of a kind of model, at any width and depth.

    Args:
        title: What it is, for people.
        lines: The table.
        options: Further tables by name, of parts that not every such model has.
        complete: Whether the tables name all tensors; otherwise those by which the model is known.
    """

    title: str
    lines: str
    options: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    def expand(
        self, sizes: Mapping[str, int], num_blocks: int = 1, *, options: tuple[str, ...] = ()
    ) -> dict[str, _Shape]:
        """Names and shapes of all tensors of a model.

        Args:
            sizes: What the words of the table stand for.
            num_blocks: How many blocks there are.
            options: Names of the parts that it has.

        Returns:
            Shapes by name.
        """
        return {
            name.replace("*", str(block)): tuple(_value(size, sizes) for size in shape)
            for lines in (self.lines, *(self.options[option] for option in options))
            for name, shape in _entries(lines)
            for block in range(num_blocks if "*" in name else 1)
        }

    def read_sizes(self, shapes: Mapping[str, _Shape]) -> tuple[dict[str, int], int, tuple[str, ...]]:
        """Sizes, number of blocks and options with which a model of this layout fits tensors best.

        Args:
            shapes: Shapes of the tensors of a file, by name.

        Returns:
            What the words of the table stand for (what most tensors say), the number of blocks, and the
            options of which there are tensors. Words that no tensor tells are missing.
        """
        votes: dict[str, Counter[int]] = {}
        num_blocks, present = 0, []
        for option, lines in (("", self.lines), *self.options.items()):
            patterns = _patterns(lines)
            for name, shape in shapes.items():
                block = re.search(r"\.(\d+)\.", name)
                key = name if block is None else f"{name[: block.start()]}.*.{name[block.end() :]}"
                expected = patterns.get(name) or patterns.get(key)
                if expected is None:
                    continue
                if option:
                    present.append(option)
                if name not in patterns and block is not None:
                    num_blocks = max(num_blocks, int(block[1]) + 1)
                for word, size in zip(expected, shape, strict=False):
                    factor, _, symbol = word.rpartition("*")
                    if not symbol.isdigit() and size % int(factor or 1) == 0:
                        votes.setdefault(symbol, Counter())[size // int(factor or 1)] += 1
        sizes = {symbol: counter.most_common(1)[0][0] for symbol, counter in votes.items()}
        return sizes, num_blocks, tuple(dict.fromkeys(present))


def _value(word: str, sizes: Mapping[str, int]) -> int:
    factor, _, symbol = word.rpartition("*")
    return int(factor or 1) * (int(symbol) if symbol.isdigit() else sizes[symbol])


@functools.cache
def _patterns(lines: str) -> dict[str, tuple[str, ...]]:
    return dict(_entries(lines))


def _entries(lines: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each tensor that a table names, a block's number as `*`, and the words of its shape."""
    for line in filter(str.strip, lines.splitlines()):
        names, kind, *sizes = line.split()
        pieces = [piece.split(",") for piece in re.split(r"[{}]", names)]
        for name in map("".join, itertools.product(*pieces)):
            if kind == "tensor":
                yield name, tuple(sizes)
            if kind in ("linear", "conv", "norm", "weight"):
                yield f"{name}.weight", tuple(sizes)
            if kind in ("linear", "conv", "norm", "bias"):
                yield f"{name}.bias", (sizes[0],)


_WAN_NATIVE = Layout(
    "Wan video transformer, in the names of its authors",
    """
    patch_embedding                               conv    dim in 1 2 2
    text_embedding.0                              linear  dim text
    text_embedding.2                              linear  dim dim
    time_embedding.0                              linear  dim 256
    time_embedding.2                              linear  dim dim
    time_projection.1                             linear  6*dim dim
    blocks.*.{self_attn,cross_attn}.{q,k,v,o}     linear  dim dim
    blocks.*.{self_attn,cross_attn}.norm_{q,k}    weight  dim
    blocks.*.norm3                                norm    dim
    blocks.*.ffn.0                                linear  ffn dim
    blocks.*.ffn.2                                linear  dim ffn
    blocks.*.modulation                           tensor  1 6 dim
    head.head                                     linear  4*out dim
    head.modulation                               tensor  1 2 dim
    """,
    {
        "image": """
        img_emb.proj.0                            norm    1280
        img_emb.proj.1                            linear  1280 1280
        img_emb.proj.3                            linear  dim 1280
        img_emb.proj.4                            norm    dim
        blocks.*.cross_attn.{k,v}_img             linear  dim dim
        blocks.*.cross_attn.norm_k_img            weight  dim
        """,
        "control_adapter": """
        control_adapter.conv                      conv    dim adapter 2 2
        control_adapter.residual_blocks.0.conv{1,2}  conv  dim dim 3 3
        """,
    },
)

_WAN_DIFFUSERS = Layout(
    "Wan video transformer, in the names of diffusers",
    """
    patch_embedding                                          conv    dim in 1 2 2
    condition_embedder.text_embedder.linear_1                linear  dim text
    condition_embedder.text_embedder.linear_2                linear  dim dim
    condition_embedder.time_embedder.linear_1                linear  dim 256
    condition_embedder.time_embedder.linear_2                linear  dim dim
    condition_embedder.time_proj                             linear  6*dim dim
    blocks.*.{attn1,attn2}.{to_q,to_k,to_v,to_out.0}         linear  dim dim
    blocks.*.{attn1,attn2}.norm_{q,k}                        weight  dim
    blocks.*.norm2                                           norm    dim
    blocks.*.ffn.net.0.proj                                  linear  ffn dim
    blocks.*.ffn.net.2                                       linear  dim ffn
    blocks.*.scale_shift_table                               tensor  1 6 dim
    proj_out                                                 linear  4*out dim
    scale_shift_table                                        tensor  1 2 dim
    """,
    {
        "image": """
        condition_embedder.image_embedder.norm1              norm    1280
        condition_embedder.image_embedder.ff.net.0.proj      linear  1280 1280
        condition_embedder.image_embedder.ff.net.2           linear  dim 1280
        condition_embedder.image_embedder.norm2              norm    dim
        blocks.*.attn2.add_{k,v}_proj                        linear  dim dim
        blocks.*.attn2.norm_added_k                          weight  dim
        """
    },
)

_COGVIDEOX = """
    patch_embed.text_proj                                    linear  dim text
    time_embedding.linear_1                                  linear  time dim
    time_embedding.linear_2                                  linear  time time
    transformer_blocks.*.{norm1,norm2}.linear                linear  6*dim time
    transformer_blocks.*.{norm1,norm2}.norm                  norm    dim
    transformer_blocks.*.attn1.{to_q,to_k,to_v,to_out.0}     linear  dim dim
    transformer_blocks.*.attn1.norm_{q,k}                    norm    head
    transformer_blocks.*.ff.net.0.proj                       linear  4*dim dim
    transformer_blocks.*.ff.net.2                            linear  dim 4*dim
    norm_final                                               norm    dim
    norm_out.linear                                          linear  2*dim time
    norm_out.norm                                            norm    dim
"""

_COGVIDEOX_1_0 = Layout(
    "CogVideoX video transformer, in the names of diffusers",
    _COGVIDEOX
    + """
    patch_embed.proj                                         conv    dim in 2 2
    proj_out                                                 linear  4*out dim
    """,
    {"positions": "patch_embed.pos_embedding                   tensor  1 position dim"},
)

_COGVIDEOX_1_5 = Layout(
    "CogVideoX 1.5 video transformer, in the names of diffusers",
    _COGVIDEOX
    + """
    patch_embed.proj                                         linear  dim 8*in
    proj_out                                                 linear  8*out dim
    """,
    {"offset": "ofs_embedding.linear_{1,2}                      linear  offset offset"},
)

_VIT_BLOCK = """
    {0}.*.{norm1,norm2}                           norm    1024
    {0}.*.attn.qkv                                linear  3072 1024
    {0}.*.attn.proj                               linear  1024 1024
    {0}.*.{ls1,ls2}.gamma                         tensor  1024
    {0}.*.mlp.fc1                                 linear  4096 1024
    {0}.*.mlp.fc2                                 linear  1024 4096
"""
_JOINT = "backbone.backbone.{frame_blocks,global_blocks}"
_HEADS = "backbone.{depth_head,splat_head,motion_head,motion_splat_head}"

_MOVIES = Layout(
    "MoVieS dynamic reconstructor",
    f"""
    backbone.plucker_embed.net                    conv    1024 6 1 14 14
    backbone.plucker_ln                           norm    1024
    backbone.encoder.cls_token                    tensor  1 1 1024
    backbone.encoder.mask_token                   tensor  1 1024
    backbone.encoder.pos_embed                    tensor  1 1370 1024
    backbone.encoder.register_tokens              tensor  1 4 1024
    backbone.encoder.patch_embed.proj             conv    1024 3 14 14
    backbone.encoder.norm                         norm    1024
    {_VIT_BLOCK.replace("{0}", "backbone.encoder.blocks").strip()}
    {_VIT_BLOCK.replace("{0}", _JOINT).strip()}
    {_JOINT}.*.attn.{{q_norm,k_norm}}             norm    64
    backbone.backbone.camera_token                tensor  1 2 1 1024
    backbone.backbone.register_token              tensor  1 2 4 1024
    backbone.backbone.extra_embed                 linear  1024 9
    backbone.backbone.time_embed                  linear  1024 20
    {_HEADS}.norm                                 norm    2048
    {_HEADS}.projects.0                           conv    256 2048 1 1
    {_HEADS}.projects.1                           conv    512 2048 1 1
    {_HEADS}.projects.{{2,3}}                     conv    1024 2048 1 1
    {_HEADS}.resize_layers.0                      conv    256 256 4 4
    {_HEADS}.resize_layers.1                      conv    512 512 2 2
    {_HEADS}.resize_layers.3                      conv    1024 1024 3 3
    {_HEADS}.scratch.layer1_rn                    weight  256 256 3 3
    {_HEADS}.scratch.layer2_rn                    weight  256 512 3 3
    {_HEADS}.scratch.layer{{3,4}}_rn              weight  256 1024 3 3
    {_HEADS}.scratch.refinenet{{1,2,3,4}}.out_conv             conv  256 256 1 1
    {_HEADS}.scratch.refinenet{{1,2,3}}.resConfUnit1.conv{{1,2}}    conv  256 256 3 3
    {_HEADS}.scratch.refinenet{{1,2,3,4}}.resConfUnit2.conv{{1,2}}  conv  256 256 3 3
    {_HEADS}.scratch.output_conv1                 conv    128 256 3 3
    {_HEADS}.scratch.output_conv2.0               conv    32 128 3 3
    backbone.depth_head.scratch.output_conv2.2    conv    2 32 1 1
    backbone.motion_head.scratch.output_conv2.2   conv    4 32 1 1
    backbone.{{splat_head,motion_splat_head}}.scratch.output_conv2.2  conv  12 32 1 1
    backbone.splat_head.shortcut.0                conv    32 3 3 3
    backbone.motion_splat_head.shortcut.0         conv    32 11 3 3
    backbone.{{splat_head,motion_splat_head}}.shortcut.2  conv  12 32 1 1
    backbone.{{motion_head,motion_splat_head}}.time_embed  linear  4096 20
    """,
)

_TAEHV = Layout(
    "tiny video autoencoder (TAEHV)",
    """
    encoder.0                                     conv    64 image 3 3
    encoder.2.conv                                weight  64 first 1 1
    encoder.7.conv                                weight  64 second 1 1
    encoder.12.conv                               weight  64 third 1 1
    encoder.{3,8,13}                              weight  64 64 3 3
    encoder.{4,5,6,9,10,11,14,15,16}.conv.0       conv    64 128 3 3
    encoder.{4,5,6,9,10,11,14,15,16}.conv.{2,4}   conv    64 64 3 3
    encoder.17                                    conv    latent 64 3 3
    decoder.1                                     conv    256 latent 3 3
    decoder.{3,4,5}.conv.0                        conv    256 512 3 3
    decoder.{3,4,5}.conv.{2,4}                    conv    256 256 3 3
    decoder.7.conv                                weight  coarse 256 1 1
    decoder.8                                     weight  128 256 3 3
    decoder.{9,10,11}.conv.0                      conv    128 256 3 3
    decoder.{9,10,11}.conv.{2,4}                  conv    128 128 3 3
    decoder.13.conv                               weight  middle 128 1 1
    decoder.14                                    weight  64 128 3 3
    decoder.{15,16,17}.conv.0                     conv    64 128 3 3
    decoder.{15,16,17}.conv.{2,4}                 conv    64 64 3 3
    decoder.19.conv                               weight  fine 64 1 1
    decoder.20                                    weight  64 64 3 3
    decoder.22                                    conv    image 64 3 3
    """,
)

_T5_LINES = """
    shared                                                            weight  vocabulary dim
    encoder.block.*.layer.0.SelfAttention.{q,k,v}                     weight  inner dim
    encoder.block.*.layer.0.SelfAttention.o                           weight  dim inner
    encoder.block.*.layer.{0,1}.layer_norm                            weight  dim
    encoder.block.*.layer.1.DenseReluDense.wi_{0,1}                   weight  ffn dim
    encoder.block.*.layer.1.DenseReluDense.wo                         weight  dim ffn
    encoder.final_layer_norm                                          weight  dim
"""
_T5_BIAS = "SelfAttention.relative_attention_bias  weight  buckets heads"

_CLIP = """
    vision_model.embeddings.class_embedding                            tensor  dim
    vision_model.embeddings.patch_embedding                            weight  dim 3 patch patch
    vision_model.embeddings.position_embedding                         weight  position dim
    vision_model.{pre_layrnorm,post_layernorm}                         norm    dim
    vision_model.encoder.layers.*.self_attn.{q,k,v,out}_proj           linear  dim dim
    vision_model.encoder.layers.*.{layer_norm1,layer_norm2}            norm    dim
    vision_model.encoder.layers.*.mlp.fc1                              linear  ffn dim
    vision_model.encoder.layers.*.mlp.fc2                              linear  dim ffn
"""

LAYOUTS: dict[str, Layout] = {
    "wan-native": _WAN_NATIVE,
    "wan-diffusers": _WAN_DIFFUSERS,
    "cogvideox": _COGVIDEOX_1_0,
    "cogvideox-1.5": _COGVIDEOX_1_5,
    "movies": _MOVIES,
    "taehv": _TAEHV,
    "umt5": Layout("UMT5 text encoder", _T5_LINES + f"    encoder.block.*.layer.0.{_T5_BIAS}"),
    "t5": Layout("T5 text encoder", _T5_LINES + f"    encoder.block.0.layer.0.{_T5_BIAS}"),
    "wan-t5": Layout(
        "UMT5 text encoder, in the names of Wan's authors",
        """
        token_embedding                           weight  vocabulary dim
        blocks.*.{norm1,norm2}                    weight  dim
        blocks.*.attn.{q,k,v}                     weight  inner dim
        blocks.*.attn.o                           weight  dim inner
        blocks.*.ffn.{gate.0,fc1}                 weight  ffn dim
        blocks.*.ffn.fc2                          weight  dim ffn
        blocks.*.pos_embedding.embedding          weight  buckets heads
        norm                                      weight  dim
        """,
    ),
    "clip-vision": Layout("CLIP image encoder", _CLIP, complete=False),
    "clip-vision-bare": Layout("CLIP image encoder", _CLIP.replace("vision_model.", ""), complete=False),
    "wan-vae": Layout(
        "Wan video autoencoder, in the names of diffusers",
        """
        encoder.conv_in                           conv    width image 3 3 3
        encoder.conv_out                          conv    2*latent deep 3 3 3
        encoder.mid_block.attentions.0.to_qkv     conv    3*deep deep 1 1
        quant_conv                                conv    2*latent 2*latent 1 1 1
        post_quant_conv                           conv    latent latent 1 1 1
        decoder.conv_in                           conv    wide latent 3 3 3
        decoder.mid_block.resnets.0.norm1.gamma   tensor  wide 1 1 1
        decoder.up_blocks.0.resnets.0.conv1       conv    wide wide 3 3 3
        decoder.norm_out.gamma                    tensor  out 1 1 1
        decoder.conv_out                          conv    image out 3 3 3
        """,
        complete=False,
    ),
    "wan-vae-native": Layout(
        "Wan video autoencoder, in the names of its authors",
        """
        encoder.conv1                             conv    width image 3 3 3
        encoder.head.2                            conv    2*latent deep 3 3 3
        encoder.middle.1.to_qkv                   conv    3*deep deep 1 1
        conv1                                     conv    2*latent 2*latent 1 1 1
        conv2                                     conv    latent latent 1 1 1
        decoder.conv1                             conv    wide latent 3 3 3
        decoder.head.2                            conv    image out 3 3 3
        """,
        complete=False,
    ),
    "cogvideox-vae": Layout(
        "CogVideoX video autoencoder, in the names of diffusers",
        """
        encoder.conv_in.conv                      conv    width 3 3 3 3
        encoder.conv_out.conv                     conv    2*latent deep 3 3 3
        encoder.down_blocks.0.resnets.0.conv1.conv  conv  width width 3 3 3
        decoder.conv_in.conv                      conv    deep latent 3 3 3
        decoder.up_blocks.0.resnets.0.norm1.conv_y.conv  conv  deep latent 1 1 1
        decoder.norm_out.conv_y.conv              conv    width latent 1 1 1
        decoder.conv_out.conv                     conv    3 width 3 3 3
        """,
        complete=False,
    ),
}
"""The layouts that `identify` knows, by name."""
