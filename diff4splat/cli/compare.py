"""`diff4splat compare`: two evaluated methods on the same clips."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console, file_size, json_text, table
from diff4splat.cli.errors import naming
from diff4splat.cli.options import check_between
from diff4splat.cli.output import made_folder, writing

__all__ = ["Compare"]


@dataclass(frozen=True)
class Compare:
    """Say which of two evaluated methods is better, metric by metric, and how sure that is.

    Both folders were written by `diff4splat evaluate` for the same protocol. Only clips that both methods
    have are compared. Differences are taken scene by scene, because the clips of one scene are not
    independent; p-values are of permutation tests that swap the methods within scenes, corrected for the
    number of metrics by Holm. FVD has a p-value and no interval: none of the usual ones is valid for it.

    In use:
      diff4splat compare ours/ theirs/
      diff4splat compare ours/ theirs/ --output comparison/

    Args:
        first: Folder of the first evaluation.
        second: Folder of the second one.
        output: Folder for comparison.md, comparison.tex and comparison.html; nothing is written when omitted.
        permutations: Draws of the permutation tests of FVD and KVD, which take the longest.
        seed: Start of these draws.
        json: Print the comparison as JSON.
    """

    first: Annotated[Positional[Path], arg(metavar="FOLDER")]
    second: Annotated[Positional[Path], arg(metavar="FOLDER")]
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    permutations: Annotated[int, arg(metavar="N")] = 1000
    seed: Annotated[int, arg(metavar="N")] = 0
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Compare, print, and write if asked to."""
        check_between("--permutations", self.permutations, 99, 1_000_000)
        check_between("--seed", self.seed, 0, 2**63 - 1)
        with console.libraries():
            from diff4splat.evaluation.protocol import compare, load_evaluation
            from diff4splat.evaluation.reports import comparison_document, terminal_text, write_comparison
        evaluations = []
        for folder in (self.first, self.second):
            with naming("FOLDER cannot be read", folder):
                evaluations.append(load_evaluation(folder))
        with console.stage("compare"):
            first, second = evaluations
            comparison = compare(
                first,
                second,
                num_distance_permutations=self.permutations,
                seed=self.seed,
            )
        document = comparison_document(comparison)
        console.print(json_text(asdict(comparison)) if self.json else terminal_text(document))
        if self.output is not None:
            with made_folder(self.output), writing(self.output):
                files = write_comparison(self.output, comparison, command=console.command)
            rows = [(str(file), file_size(file)) for file in files]
            console.print(f"\n{table(('file', 'size'), rows, right=(1,))}")
