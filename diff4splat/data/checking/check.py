"""A recording looked at, and a whole dataset by some of its recordings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diff4splat.data.checking.agreement import agreement_findings
from diff4splat.data.checking.camera_findings import camera_findings
from diff4splat.data.checking.depth_findings import depth_findings
from diff4splat.data.checking.finding import Finding
from diff4splat.data.checking.pairs import sample_frames
from diff4splat.data.checking.report import MISSING, CheckReport, RecordingCheck
from diff4splat.data.checking.reprojection import view_from
from diff4splat.data.checking.track_findings import track_findings
from diff4splat.data.readers import DatasetReader
from diff4splat.data.recordings import Recording

__all__ = ["check_dataset", "check_recording"]


@dataclass(frozen=True)
class _Nothing:
    """Progress that nobody watches."""

    def __call__(self, done: int, total: int) -> None:
        """Do nothing."""


def check_recording(recording: Recording, *, steps: Sequence[int] = ()) -> RecordingCheck:
    """Whether a recording keeps the conventions of this library, as far as it can be measured.

    Cameras, depth and tracks are looked at by themselves; then depth and colours are carried from frame to
    frame, and where they do not arrive, the usual mistakes are tried one by one.

    Args:
        recording: Some frames of a recording, best those of `sample_frames`.
        steps: Places of the frames in the source, so that gaps in their numbers are seen; unknown when
            omitted.

    Returns:
        Findings, and views of the pair of frames that agree worst.

    Raises:
        ValueError: If there are `steps`, but not one for each frame.
    """
    if steps and len(steps) != recording.num_frames:
        raise ValueError(f"steps must be one for each of {recording.num_frames} frames, got {len(steps)}.")
    findings = [_frame_numbers(recording.numbers, steps)]
    sound = True
    if recording.cameras is None:
        findings.append(Finding("cameras finite", "cannot tell", "there are no cameras"))
    else:
        of_cameras = camera_findings(recording.cameras)
        sound = not any(
            finding.verdict == "fails" and finding.name in ("cameras finite", "focal length")
            for finding in of_cameras
        )
        findings += of_cameras
    findings += depth_findings(recording)
    view = None
    if sound:
        more, agreement = agreement_findings(recording)
        findings += more
        findings += track_findings(recording)
        if agreement is not None:
            worst = max(agreement.pairs, key=lambda pair: (pair.error == pair.error, pair.error))
            view = view_from(recording, worst.first, worst.second)
    return RecordingCheck(recording.name, recording.num_frames, tuple(findings), view)


def check_dataset(
    reader: DatasetReader,
    *,
    num_recordings: int = 3,
    callback: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Some recordings of a dataset, spread over it, each by some of its frames.

    Args:
        reader: As `open_dataset` gives it.
        num_recordings: Recordings at most.
        callback: Called with how many recordings are done, and of how many.

    Returns:
        The report. A recording that cannot be read is a finding in it that says why.

    Raises:
        ValueError: If `num_recordings` is below 1.
    """
    if num_recordings < 1:
        raise ValueError(f"num_recordings must be at least 1, got {num_recordings}.")
    tell = callback or _Nothing()
    count = min(num_recordings, len(reader.names))
    last = len(reader.names) - 1
    names = [reader.names[round(index * last / max(1, count - 1))] for index in range(count)]
    checks = []
    for index, name in enumerate(names):
        checks.append(_read_and_check(reader, name))
        tell(index + 1, count)
    return CheckReport(
        dataset=reader.key,
        title=reader.title,
        licence=reader.licence,
        folder=str(reader.folder),
        num_recordings=len(reader.names),
        recordings=tuple(checks),
    )


def _read_and_check(reader: DatasetReader, name: str) -> RecordingCheck:
    try:
        info = reader.info(name)
        if info.missing:
            return RecordingCheck(name, 0, (Finding(MISSING, "fails", info.missing.rstrip(".")),), None)
        frames = sample_frames(info.num_frames)
        recording = reader.read(name, frames)
    except (ValueError, OSError) as error:
        words = str(error).rstrip(".") or type(error).__name__
        return RecordingCheck(name, 0, (Finding("reading", "fails", words),), None)
    return check_recording(recording, steps=frames)


def _frame_numbers(numbers: Sequence[int], steps: Sequence[int]) -> Finding:
    name = "frame numbers"
    pairs = list(zip(numbers, numbers[1:], strict=False))
    backward = sum(later <= earlier for earlier, later in pairs)
    if backward:
        return Finding(name, "fails", "numbers repeat or go back", float(backward), "0", "places")
    if not steps or not pairs:
        return Finding(name, "holds", "ascending")
    apart = [later - earlier for earlier, later in zip(steps, steps[1:], strict=False)]
    rates = [(later - earlier) / step for (earlier, later), step in zip(pairs, apart, strict=True)]
    gaps = sum(rate > min(rates) for rate in rates)
    if gaps:
        words = "numbers skip: frames are missing, here or in the source"
        return Finding(name, "cannot tell", words, float(gaps), "0", "places")
    return Finding(name, "holds", "without gaps where it was looked", 0.0, "0", "places")
