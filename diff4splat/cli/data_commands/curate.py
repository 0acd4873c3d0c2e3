"""`diff4splat data curate`: from a dataset to shards of clips, with a report of every clip."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.errors import naming
from diff4splat.cli.options import check_between
from diff4splat.cli.output import made_folder

if TYPE_CHECKING:
    from diff4splat.data.annotations import FileAnnotations
    from diff4splat.data.curation import CurationSettings

__all__ = ["Curate"]

_NOTHING_KEPT = 2


@dataclass(frozen=True)
class Curate:
    """Make clips of a dataset, keep the good ones, and write them as shards that training streams.

    Each recording is cut into clips of some frames. A clip is read, brought to metres where annotators were
    asked before (their files are given with --annotations), measured, judged, and written: video, cameras,
    depth, what moves and tracks. What is rejected has a reason, and what fails does not end the run.

    In the output folder are the shards (*.tar, index.parquet), report.html with pictures of what was kept and
    why the rest was not, the same as clips.parquet and clips.csv, and curation.json. The folder work holds
    results of stages: a run that was stopped, or is given other limits, goes on from them when the same
    command is given again. Train on the shards by naming the folder in a recipe.

    In use:
      diff4splat data curate tartanair/ --output shards/
      diff4splat data curate downloads/ --dataset spring --frames 49 --workers 8 --output shards/
      diff4splat data curate re10k/ --annotations vda=video-depth-anything,oracle=unidepth --output shards/
      diff4splat data curate tartanair/ --recordings 3 --show-settings > settings.json
      diff4splat data curate tartanair/ --settings settings.json --output shards/
      diff4splat data curate /data/tartanair --ray auto --output /data/shards

    Args:
        path: The folder of the dataset, one above it, or that of one recording.
        output: Folder for shards and report; the same one again goes on.
        dataset: Which dataset it is, as `diff4splat data list` calls it; found out when omitted.
        recordings: How many recordings are taken, spread evenly; all when omitted.
        frames: Frames of a clip.
        stride: Frames from the start of a clip to that of the next; as many as a clip has when omitted.
        long_side: Longest side of the frames, pixels.
        require: What a clip must hold, of cameras, depth, dynamic_mask and tracks, with commas between.
        masks: Where neither the dataset nor an annotator says what moves: leave it open (given), or compare
            optical flow with the camera's (flow).
        annotations: Folders of annotators' files, each with the name of its format, with commas between:
            FOLDER=FORMAT,FOLDER=FORMAT. FORMAT:metre where it was a metric model and its files do not say it.
        metres_per_unit: Metres per scene unit of recordings whose unit nobody says.
        settings: JSON file of settings and limits, as --show-settings prints them, or the curation.json of a
            run; options go before it.
        workers: Processes; 0 works in this one.
        ray: Work on Ray: "local" starts one here, "auto" or an address uses a cluster.
        show_settings: Print the settings as JSON, to edit them, and do nothing else.
        json: Print what came of it as JSON.
    """

    path: Annotated[Positional[Path], arg(metavar="PATH")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("shards")
    dataset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    recordings: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 81)")] = None
    stride: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    long_side: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 512)")] = None
    require: Annotated[str | None, arg(metavar="PARTS", help_behavior_hint="(default: cameras)")] = None
    masks: Annotated[str | None, arg(metavar="given|flow", help_behavior_hint="(default: given)")] = None
    annotations: Annotated[str | None, arg(metavar="FOLDER=FORMAT", help_behavior_hint="")] = None
    metres_per_unit: Annotated[float | None, arg(metavar="X", help_behavior_hint="")] = None
    settings: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    workers: Annotated[int, arg(metavar="N")] = 0
    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="")] = None
    show_settings: Annotated[bool, FlagCreatePairsOff] = False
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> int:
        """Curate; the exit status says whether anything was kept."""
        check_between("--workers", self.workers, 0, 1000)
        if self.recordings is not None:
            check_between("--recordings", self.recordings, 1, 10_000_000)
        with console.libraries():
            from diff4splat.data import open_dataset
            from diff4splat.data.curation import curate
        settings = self._settings()
        if self.show_settings:
            console.print(json.dumps(settings.to_dict(), indent=2))
            return 0
        annotators = self._annotators()
        reader = open_dataset(self.path, self.dataset)
        with made_folder(self.output), console.stage(f"curate {reader.key}") as advance:
            result = curate(
                reader,
                self.output,
                settings,
                annotators=annotators,
                max_recordings=self.recordings,
                workers=self.workers,
                engine="local" if self.ray is None else "ray",
                address=None if self.ray in (None, "local") else self.ray,
                callback=advance,
            )
        if self.json:
            console.print(json.dumps(asdict(result.summary), ensure_ascii=False, indent=1))
        else:
            console.print(f"{result.summary.to_text()}\n\n{self.output / 'report.html'}")
        return 0 if result.summary.kept else _NOTHING_KEPT

    def _settings(self) -> "CurationSettings":
        """Those of the file, and the options before them."""
        from diff4splat.data.curation import CurationSettings

        settings = CurationSettings()
        if self.settings is not None:
            with naming("--settings cannot be read", self.settings):
                text = self.settings.read_text(encoding="utf-8")
            try:
                values = json.loads(text)
                if not isinstance(values, dict):
                    raise ValueError(f"an object is expected, got {type(values).__name__}.")
                settings = CurationSettings.from_dict(values.get("settings", values))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"--settings must be JSON of settings, {self.settings}: {error}") from error
        changes: dict[str, Any] = {
            "num_frames": self.frames,
            "stride": self.stride,
            "long_side": self.long_side,
            "masks": self.masks,
            "metres_per_unit": self.metres_per_unit,
        }
        values = settings.to_dict()
        values |= {name: value for name, value in changes.items() if value is not None}
        if self.require is not None:
            parts = [word.strip() for word in self.require.split(",") if word.strip()]
            values["thresholds"] |= {"require": parts}
        return CurationSettings.from_dict(values)

    def _annotators(self) -> "list[FileAnnotations]":
        from diff4splat.data.annotations import FileAnnotations

        annotators = []
        for word in (self.annotations or "").split(","):
            folder, equals, name = word.strip().rpartition("=")
            if not word.strip():
                continue
            if not equals or not folder or not name:
                raise ValueError(f"--annotations must be FOLDER=FORMAT, with commas between, got {word!r}.")
            name, colon, unit = name.partition(":")
            options = {"unit": unit} if colon else {}
            annotators.append(FileAnnotations(folder, name, first_number=0, options=options))
        return annotators
