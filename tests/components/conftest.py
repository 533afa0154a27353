"""What the components share: servers that are not ours, each started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.s3 import Weed, seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A real S3 store."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as weed:
        yield weed
