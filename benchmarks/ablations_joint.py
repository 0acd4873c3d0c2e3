"""Joint against separate training and a two-stage baseline: what Table 3 of the paper's supplement compares.

    python benchmarks/ablations.py --variants full     first: the reconstruction models to start from
    python benchmarks/ablations_joint.py               then: some minutes for each row and seed
    python benchmarks/ablations_joint.py --quick       does it run?

All rows start from the bundled video model and the reconstruction model of the full recipe of `ablations.py`,
and take the same steps of the same clips at the small size of these ablations. A run that was stopped goes on
when it is started again with the same `--output`.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from ablations import APPEARANCE, GEOMETRY, MOTION, QUICK, VARIANTS, Plan, judged, start, trained
from ablations_runs import Run, complete, results_of
from ablations_table import FULL, held_out_columns, tables
from jaxtyping import Float
from measuring import TINY, command_line, describe, machine, say
from torch import Tensor, nn

from diff4splat import Diff4SplatPipeline
from diff4splat.backbones import VideoBackbone
from diff4splat.cameras import Cameras
from diff4splat.evaluation import HeldOutProtocol
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import DecodedReconstructor, Reconstructor
from diff4splat.training import Recipe, Source, Stage

COLUMNS = held_out_columns(
    {
        "agreement_psnr": "scene against decoded video (dB)",
        "agreement_later_psnr": "the same, other frames (dB)",
        "generated_first_frame_psnr": "first frame (dB)",
        "rendered_camera_margin": "scene: commanded view over next (dB)",
        "video_camera_margin": "video: commanded view over next (dB)",
        "prompts_obeyed": "prompts obeyed",
    }
)
"""Measures of scenes that are generated from one image."""
_AGREEMENT = ("agreement_psnr", "agreement_later_psnr")


@dataclass(frozen=True)
class Pair:
    """How the video model and the reconstruction model are trained."""

    title: str
    train: tuple[str, ...] = ()
    """Parts that are trained on; with none, the run of `model` is used."""
    latents: Literal["encoded", "denoised"] = "encoded"
    """What the reconstruction model reads in training: through "denoised" ones its losses reach the other."""
    model: str = ""
    """Whose models are used."""
    through_pixels: bool = False
    """Decode the generated latents and encode the video again before reconstruction."""
    claims: tuple[str, ...] = ()
    """Measures in which it should be worse than joint training if the supplement is right."""


JOINT = "joint"
PAIRS = {
    JOINT: Pair("joint training", ("dit", "ldrm"), "denoised"),
    "frozen": Pair("frozen reconstruction model", ("dit",), claims=_AGREEMENT),
    "separate": Pair("both, each by itself", ("dit", "ldrm"), claims=_AGREEMENT),
    "two-stage": Pair("two stages, through pixels", model="frozen", through_pixels=True, claims=_AGREEMENT),
}


@dataclass(frozen=True)
class JointPlan:
    """What every row gets."""

    steps: int = 600
    learning_rate: float = 5e-4
    """A third of that of the runs that they start from."""
    scenes: int = 32
    """Held-out scenes; each is generated three times."""
    num_steps: int = 30
    """Sampling steps of the video model."""


def recipe(pair: Pair, seed: int, joint: JointPlan, plan: Plan, initial: Path) -> Recipe:
    """One stage on the clips of the last stage of the full recipe."""
    losses = {**GEOMETRY, **APPEARANCE, **MOTION} if "ldrm" in pair.train else {}
    stage = Stage(
        name="pair",
        train=pair.train,
        losses={"flow_matching": 1.0, **losses},
        steps=joint.steps,
        data=(Source(clips=plan.steps[-1] * plan.batch),),
        size=plan.sizes[1],
        batch=plan.batch,
        latents=pair.latents,
        rendered=plan.rendered if losses else 0,
        optimizer="muon",
        schedule="trapezoid",
        learning_rate=joint.learning_rate,
        warmup=min(30, joint.steps),
        average=0.99,
    )
    return Recipe("ablation-pair", (stage,), seed=seed, precision="no", initial=str(initial.resolve()))


class EncodedAgain(nn.Module):
    """A `VideoReconstructor`: the latents of a video, and the scene of them.

    Args:
        backbone: Encodes; no submodule.
        ldrm: Reads the latents.
    """

    backbone: VideoBackbone

    def __init__(self, backbone: VideoBackbone, ldrm: Reconstructor) -> None:
        super().__init__()
        object.__setattr__(self, "backbone", backbone)
        self.ldrm = ldrm

    def forward(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        cameras: Cameras,
        *,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """Batched field of a clip, its first frame taken as the photograph."""
        latents = self.backbone.encode(video)
        return self.ldrm(latents, cameras, image=video[:, 0], times=times, max_gaussians=max_gaussians)


def run(
    key: str, seed: int, joint: JointPlan, plan: Plan, output: Path, cache: Path, workers: int, quick: bool
) -> Run:
    """Train a row, or go on with it, and judge it."""
    pair = PAIRS[key]
    owner = pair.model or key
    folder, full = output / f"{owner}-{seed}", output / f"{FULL}-{seed}" / "model"
    if quick:
        full = start(output / f"{FULL}-{seed}", VARIANTS[FULL], seed)
    if not full.is_dir():
        raise SystemExit(f"output must hold the models of `ablations.py --variants {FULL}`, got no {full}.")
    asked = recipe(PAIRS[owner], seed, joint, plan, full)
    model, minutes = trained(asked, folder, cache, workers)
    pipe = Diff4SplatPipeline.from_pretrained(model)
    ldrm: Reconstructor = pipe.ldrm
    if pair.through_pixels:
        ldrm = DecodedReconstructor(pipe.backbone, EncodedAgain(pipe.backbone, pipe.ldrm))
    protocol = HeldOutProtocol(
        num_scenes=joint.scenes,
        height=plan.sizes[1],
        width=plan.sizes[1],
        part="generation",
        num_steps=joint.num_steps,
    )
    return Run(key, seed, minutes, judged(pipe.backbone, ldrm, protocol, COLUMNS))


def show(settings: dict[str, Any], runs: Sequence[Run]) -> None:
    """Print the tables."""
    size = settings["plan"]["sizes"][1]
    print()
    say(
        f"Every row: {settings['steps']} steps of {settings['plan']['batch']} moving clips of {size} x "
        f"{size} pixels, from the bundled video model and the reconstruction model of the full recipe. The "
        f'"two stages" use the models of "frozen reconstruction model".'
    )
    print()
    titles = {key: pair.title for key, pair in PAIRS.items()}
    claims = {key: pair.claims for key, pair in PAIRS.items()}
    print(tables(runs, titles, claims, columns=COLUMNS, base=JOINT))


def main(
    *,
    output: Path = Path("runs/ablations"),
    cache: Path = Path("cache"),
    seeds: tuple[int, ...] = (0, 1),
    rows: tuple[str, ...] = tuple(PAIRS),
    workers: int = 1,
    steps: int = JointPlan.steps,
    quick: bool = False,
    threads: int = 0,
    results: Path | None = None,
) -> list[Run]:
    """Train what is missing, and print the tables.

    Args:
        output: Folder of the runs of `ablations.py`; what each row has reached is kept in its joint.json.
        cache: Where procedural clips are kept.
        seeds: Training seeds, of those that the full recipe was trained with.
        rows: What to train.
        workers: Processes that make clips ahead, if they are not there from the full recipe.
        steps: Steps of every row.
        quick: A few steps in a folder that is thrown away, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch, which the renderer follows; torch's own default for 0.
        results: Print the tables of this file, and train nothing.
    """
    if results is not None:
        settings, done = results_of(results)
        show(settings, done)
        return done
    for key in rows:
        if key not in PAIRS:
            raise SystemExit(f"rows must be of {', '.join(PAIRS)}, got {key!r}.")
    if threads:
        torch.set_num_threads(threads)
    facts, plan, joint = machine(), Plan(), JointPlan(steps)
    if quick:
        plan, joint = QUICK, JointPlan(steps=2, scenes=2, num_steps=2)
    print(f"$ {command_line()}\n{describe(facts)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if quick:
            output, cache, workers, seeds = Path(folder), Path(folder) / "cache", 0, seeds[:1]
        settings = {**asdict(joint), "plan": asdict(plan)}
        done = complete(
            output / "joint.json",
            settings,
            [(key, seed) for seed in seeds for key in dict.fromkeys(rows)],
            lambda key, seed: run(key, seed, joint, plan, output, cache, workers, quick),
            facts,
        )
    show(settings, done)
    if quick:
        print(TINY)
    return done


if __name__ == "__main__":
    tyro.cli(main)
