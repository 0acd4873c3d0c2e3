"""Fixtures that more than one folder of tests needs."""

import os
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config
from viewer.browser import Browser, find_chromium


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Weights of fresh modules are the same in every run, whichever tests run before."""
    torch.manual_seed(0)


@pytest.fixture
def without_shape_checker() -> Iterator[None]:
    """Users run without the runtime shape checker; with it, errors about types would be its own."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    binary = find_chromium()
    if binary is None:
        reason = "no chromium, chromium-browser or google-chrome in PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Browser(binary)
    yield browser
    browser.close()
