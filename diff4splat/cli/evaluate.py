"""`diff4splat evaluate`: a model, or videos of any method, by the tables of the paper."""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, arg

from diff4splat.cli.console import Console, file_size, json_text, table
from diff4splat.cli.errors import naming
from diff4splat.cli.options import MAX_FRAMES, MAX_SIZE, MAX_STEPS, check_between, check_device
from diff4splat.cli.output import made_folder, writing

if TYPE_CHECKING:
    import torch

    from diff4splat.evaluation import ExtractorSuite, Manifest, Report
    from diff4splat.evaluation.protocol import Evaluation
    from diff4splat.evaluation.reports import Section
    from diff4splat.pipelines import Diff4SplatPipeline

__all__ = ["Evaluate"]

_OF_MODELS = ("model", "shown", "steps")
_OF_SCENES = ("scenes", "first", "frames", "size")
_PROTOCOL = "protocol"
_HELD_OUT = "held_out"


@dataclass(frozen=True)
class Evaluate:
    """Score a model, or videos of any method, and print the tables of the paper with these scores.

    A model makes the clips of a protocol (`diff4splat protocol`): five camera paths and a closed one for each
    scene. They are scored against the real clips along the same paths, which are scored in the same way, so
    that the tables say what the metrics make of the truth. Videos that somebody else made for the same
    protocol are scored with --videos.

    Nothing has to be fetched: without --networks, what needs trained networks is measured with untrained
    ones where that means something, and left out with the reason where it does not. Every number says what it
    was measured with, and published rows are marked where they cannot be compared.

    In the output folder are report.html, report.md and report.tex, scores.parquet and scores.csv with one row
    per clip and metric, set_scores.csv, evaluation.json, features, and the videos. The same command goes on
    where a run was stopped. A model is also measured where the truth is known (`diff4splat held-out`), on as
    many scenes, unless a manifest is given.

    In use:
      diff4splat evaluate --model compact --output evaluation/
      diff4splat evaluate --model compact --scenes 2 --output trial/
      diff4splat evaluate --videos theirs/ --manifest evaluation/protocol --output theirs_scored/
      diff4splat evaluate --networks clip=openai/clip-vit-base-patch32,i3d=i3d_torchscript.pt

    Args:
        output: Folder for all of it; the same one again goes on.
        model: A model that comes with the package (`diff4splat models`), a folder, or a Hugging Face Hub id.
        videos: Folder of videos to score; then no model is run. One video per clip, named as the clip, or a
            folder of pictures; method.json beside them may say how long they took.
        manifest: The protocol that clips are asked for by, a file or its folder; procedural scenes when
            omitted.
        method: Name in the tables; that of the model, or of the folder of videos, when omitted.
        scenes: How many procedural scenes; 32 are the paper's 160 clips.
        first: Number of the first one among the held-out scenes.
        frames: Frames of each clip of procedural scenes; as many as the model's clips have when omitted. I3D
            needs 10 at least, and 16 or 17 are usual.
        size: Height and width of procedural scenes, pixels.
        shown: What is scored of a model: its scene along the path, the video that its latents decode to, or
            the scene made of that video.
        steps: Sampling steps of the video model. The model decides when omitted.
        networks: Trained networks, KIND=SOURCE with commas between; SOURCE is a file, a folder or a Hub id.
            Kinds: i3d (FVD, KVD), clip (CLIP-Score), aesthetic (CLIP-Aesthetic), dino and
            clip-background (subject and background consistency), lpips (alex, vgg or a file). An empty
            SOURCE is the usual one.
        poses: How camera poses of videos are found: colmap (extra sfm), two-view (OpenCV), none, or auto,
            which is colmap where it is installed.
        scale: How a found path gets its scale: the one that suits its steps, its positions, or none.
        beside: Folders of other evaluations to print in the tables, commas between.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
        json: Print the summary as JSON.
    """

    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("evaluation")
    model: Annotated[str, arg(aliases=["-m"], metavar="NAME|FOLDER|ID")] = "compact"
    videos: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    manifest: Annotated[Path | None, arg(metavar="FILE|FOLDER", help_behavior_hint="")] = None
    method: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    scenes: Annotated[int, arg(metavar="N")] = 32
    first: Annotated[int, arg(metavar="N")] = 0
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    size: Annotated[int, arg(metavar="PX")] = 128
    shown: Literal["scene", "decoded", "two-stage"] = "scene"
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    networks: Annotated[str | None, arg(metavar="KIND=SOURCE", help_behavior_hint="")] = None
    poses: Literal["auto", "colmap", "two-view", "none"] = "auto"
    scale: Literal["steps", "positions", "none"] = "steps"
    beside: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Make or take videos, score them, print the tables, and say what was written."""
        self._check()
        with console.libraries():
            from diff4splat.evaluation import evaluate_method, evaluate_videos
            from diff4splat.evaluation.machine import machine_facts
            from diff4splat.evaluation.protocol import PipelineMaker, summarize
            from diff4splat.evaluation.reports import held_out_section, paper_tables, table_text
            from diff4splat.pipelines import Diff4SplatPipeline
        device = check_device(self.device)
        beside = self._beside()
        options: dict[str, Any] = {
            "extractors": self._suite(device),
            "pose_scale": self.scale,
            "beside": [summarize(evaluation) for evaluation in beside.values()],
            "command": console.command,
            "callback": console.progress,
        }
        held_out: list[Report] = []
        with made_folder(self.output), writing(self.output):
            if self.videos is not None:
                manifest, source = self._given_manifest()
                self._check_beside(beside, manifest)
                options["method"] = self.method
                found = evaluate_videos(self.videos, manifest, source, self.output, **options)
            else:
                with console.stage("load model"):
                    pipe = Diff4SplatPipeline.from_pretrained(self.model, device=device)
                if self.manifest is None:
                    manifest, source = self._procedural(console, pipe)
                else:
                    manifest, source = self._given_manifest()
                self._check_beside(beside, manifest)
                options |= {"method": self.method or self._name(), "settings": self._settings(pipe)}
                maker = PipelineMaker(pipe, shown=self.shown, num_steps=self.steps)
                options |= {"machine": machine_facts(device), "device": device}
                options["capabilities"] = maker.capabilities
                if self.manifest is None:

                    def where_truth_is_known() -> "list[Section]":
                        held_out.append(self._held_out(console, pipe))
                        return [held_out_section(held_out[0])]

                    options["more"] = where_truth_is_known
                found = evaluate_method(maker, manifest, source, self.output, **options)
            files = list(found.files)
            for report in held_out:
                files += report.save(self.output / _HELD_OUT)
        if self.json:
            console.print(json_text(asdict(found.summary)))
            return
        specs = found.evaluation.extractors
        tables = paper_tables(found.summary, found.evaluation.facts, found.others, extractors=specs)
        console.print("\n\n".join(map(table_text, tables)))
        for words in found.summary.warnings:
            lines = textwrap.fill(f"warning: {words}", 100, subsequent_indent=" " * 9, break_long_words=False)
            console.print(f"\n{lines}")
        for report in held_out:
            console.print(f"\n{report.to_text()}")
        rows = [(str(file), file_size(file)) for file in files]
        console.print(f"\n{table(('file', 'size'), rows, right=(1,))}")

    def _check(self) -> None:
        check_between("--scenes", self.scenes, 1, 100_000)
        check_between("--first", self.first, 0, 1_000_000)
        check_between("--frames", self.frames, 3, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--steps", self.steps, 1, MAX_STEPS)
        if self.videos is not None and self.manifest is None:
            raise ValueError("--videos needs --manifest: the protocol that the videos were made for.")
        if self.manifest is not None and not self.manifest.exists():
            raise FileNotFoundError(f"--manifest: no such file or folder: {self.manifest}")
        if self.videos is not None and (odd := self._changed(_OF_MODELS)):
            raise ValueError(f"--{odd[0]} is for models, got it with --videos.")
        if self.manifest is not None and (odd := self._changed(_OF_SCENES)):
            raise ValueError(f"--{odd[0]} is for procedural scenes, got it with --manifest, which says it.")

    def _changed(self, names: tuple[str, ...]) -> list[str]:
        """Which of these options are not as they are when omitted."""
        return [name for name in names if getattr(self, name) != getattr(Evaluate, name)]

    def _suite(self, device: "torch.device") -> "ExtractorSuite":
        """What clips are measured with."""
        from diff4splat.evaluation.extractors import NETWORKS, default_suite

        networks: dict[str, str] = {}
        for word in (self.networks or "").split(","):
            kind, equals, source = word.strip().partition("=")
            if not word.strip():
                continue
            if not equals or not kind:
                raise ValueError(f"--networks must be KIND=SOURCE, with commas between, got {word!r}.")
            if kind in networks:
                raise ValueError(f"--networks names {kind} twice.")
            networks[kind] = source
        if bad := networks.keys() - NETWORKS:
            raise ValueError(f"--networks knows {', '.join(NETWORKS)}, got {sorted(bad)[0]}.")
        if "q-align" in networks:
            raise ValueError(
                "--networks cannot load q-align, which runs code of its repository: in Python, give "
                "QAlignLevels(trust_remote_code=True) as `levels` of an ExtractorSuite."
            )
        return default_suite(networks=networks, poses=self.poses, device=device)

    def _beside(self) -> "dict[str, Evaluation]":
        """Other evaluations by folder."""
        from diff4splat.evaluation.protocol import load_evaluation

        found = {}
        for word in filter(None, map(str.strip, (self.beside or "").split(","))):
            with naming("--beside cannot be read", Path(word)):
                found[word] = load_evaluation(word)
        return found

    def _check_beside(self, beside: "dict[str, Evaluation]", manifest: "Manifest") -> None:
        """Rows of one table must be of the same clips, with pose errors of one kind."""
        for folder, evaluation in beside.items():
            if evaluation.manifest != manifest.fingerprint:
                raise ValueError(
                    f"--beside must be of the same protocol, {manifest.fingerprint}, got "
                    f"{evaluation.manifest} in {folder}."
                )
            scale = evaluation.facts.get("scale of estimated paths", self.scale)
            if scale != self.scale:
                raise ValueError(
                    f"--beside must have paths scaled by --scale {self.scale}, got {scale} in {folder}."
                )

    def _given_manifest(self) -> "tuple[Manifest, Path]":
        """The protocol that was named, and the folder of its files."""
        from diff4splat.evaluation.protocol import Manifest

        assert self.manifest is not None
        with naming("--manifest cannot be read", self.manifest):
            manifest = Manifest.load(self.manifest)
        return manifest, self.manifest if self.manifest.is_dir() else self.manifest.parent

    def _procedural(self, console: Console, pipe: "Diff4SplatPipeline") -> "tuple[Manifest, Path]":
        """Procedural scenes, for clips as long as the model's."""
        from diff4splat.evaluation.protocol import write_procedural_protocol

        folder = self.output / _PROTOCOL
        folder.mkdir(exist_ok=True)
        with console.stage("write protocol", self.scenes) as advance:
            manifest = write_procedural_protocol(
                folder,
                num_scenes=self.scenes,
                first_scene=self.first,
                num_frames=self.frames or pipe.num_frames,
                height=self.size,
                width=self.size,
                progress=advance,
            )
        return manifest, folder

    def _held_out(self, console: Console, pipe: "Diff4SplatPipeline") -> "Report":
        """The table of scenes whose truth is known, with as many scenes."""
        from diff4splat.evaluation import HeldOutProtocol, evaluate_held_out

        protocol = HeldOutProtocol(
            num_scenes=self.scenes,
            first_scene=self.first,
            num_frames=pipe.num_frames,
            height=self.size,
            width=self.size,
            num_steps=pipe.num_steps if self.steps is None else self.steps,
        )
        return evaluate_held_out(
            pipe.backbone, pipe.ldrm, protocol, guidance=pipe.guidance, callback=console.progress
        )

    def _name(self) -> str:
        """What the method is called in tables."""
        name = Path(self.model).name or self.model
        return name if self.shown == "scene" else f"{name}, {self.shown}"

    def _settings(self, pipe: "Diff4SplatPipeline") -> dict[str, Any]:
        """What two runs must share to put their videos into one folder."""
        return {
            "model": self.model,
            "shown": self.shown,
            "steps": pipe.num_steps if self.steps is None else self.steps,
            "guidance": repr(pipe.guidance),
            "gaussians": pipe.num_gaussians,
        }
