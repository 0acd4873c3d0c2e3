"""What the tests of the command line share."""

import pytest


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diff4splat:")]
    assert len(lines) == 1, lines
    return lines[0]
