from collections.abc import Iterator
from pathlib import Path

import pytest
from viewer.browser import Browser, Page
from viewer.scenes import rolling_ball, sideways

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.viewer import save_player


@pytest.fixture(scope="session")
def field() -> DeformableGaussianField:
    return rolling_ball(num_ground=1600, num_ball=1000)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory, field: DeformableGaussianField) -> Path:
    path = tmp_path_factory.mktemp("player") / "player.html"
    save_player(field, path, cameras=sideways(), title="A ball")
    return path


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    page = browser.open(path)
    page.evaluate("diff4splat.ready")
    page.evaluate("diff4splat.setQuality(1)")  # a slow machine must not change the size of the picture
    yield page
    page.close()
