"""Which base is taken for a platform, and what makes a new one necessary."""

from __future__ import annotations

import os
import shutil

import pytest

from saveos import config
from saveos.errors import PlatformUnavailable
from saveos.installers import bases
from saveos.protocol import Platform


@pytest.fixture
def settings(tmp_path):
    made = config.load({"data": str(tmp_path / "data")}, {})
    made.bases.mkdir(parents=True)
    return made


def test_find_before_any_build_gives_none(settings):
    assert bases.find(settings, Platform.LINUX) is None


def test_find_takes_the_base_of_the_present_contents_only(settings):
    older = settings.bases / "saveos-agent-linux-x86_64-0123456789abcdef"
    older.write_bytes(b"")
    wanted = settings.bases / bases.name_of(Platform.LINUX)
    assert bases.find(settings, Platform.LINUX) is None

    wanted.write_bytes(b"")

    assert bases.find(settings, Platform.LINUX) == wanted


@pytest.mark.parametrize("platform", [Platform.WINDOWS, Platform.MACOS])
def test_require_buildable_for_another_system_says_which(platform):
    with pytest.raises(PlatformUnavailable, match=platform.value):
        bases.require_buildable(platform)


def test_build_for_another_system_is_refused(settings):
    with pytest.raises(PlatformUnavailable):
        bases.build(settings, Platform.WINDOWS, lambda _line: None, lambda: False)


def test_require_buildable_without_binutils_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PlatformUnavailable, match="binutils"):
        bases.require_buildable(Platform.LINUX)


def test_find_of_a_ready_made_base_takes_the_newest(settings):
    older, newer = (settings.bases / f"saveos-agent-windows-x86_64-{digit * 16}" for digit in "12")
    for age, path in ((100, older), (0, newer)):
        path.write_bytes(b"")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))

    assert bases.find(settings, Platform.WINDOWS) == newer


def test_find_in_a_frozen_appliance_takes_what_was_shipped(settings, monkeypatch, tmp_path):
    shipped = tmp_path / "ready" / "saveos-agent-linux-x86_64-0123456789abcdef"
    shipped.parent.mkdir()
    shipped.write_bytes(b"")
    monkeypatch.setattr(bases, "READY_MADE", shipped.parent)
    monkeypatch.setattr("sys.frozen", True, raising=False)

    assert bases.find(settings, Platform.LINUX) == shipped
    with pytest.raises(PlatformUnavailable):
        bases.require_buildable(Platform.LINUX)


def test_content_hash_follows_the_recipe_and_ignores_compiled_files(monkeypatch, tmp_path):
    recipe = tmp_path / "agent_build"
    shutil.copytree(bases.RECIPE, recipe)
    monkeypatch.setattr(bases, "RECIPE", recipe)
    before = bases.content_hash()

    (recipe / "__pycache__").mkdir(exist_ok=True)
    (recipe / "__pycache__" / "entry.cpython-311.pyc").write_bytes(b"x")
    assert bases.content_hash() == before

    (recipe / "entry.py").write_text("# changed")
    assert bases.content_hash() != before
