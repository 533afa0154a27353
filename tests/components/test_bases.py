"""Building a base with the real PyInstaller, from a recipe as small as can be."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saveos import config
from saveos.errors import BuildError
from saveos.installers import bases, stamp
from saveos.protocol import Platform, Stamp

RECIPE = """
analysis = Analysis(["entry.py"])
executable = EXE(PYZ(analysis.pure), analysis.scripts, analysis.binaries, analysis.datas, name="saveos-agent")
"""
PAYLOAD = Stamp(addresses=("localhost:8000",), root_certificate="pem", token="token")


@pytest.fixture
def settings(tmp_path):
    return config.load({"data": str(tmp_path / "data folder")}, {})


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    folder = tmp_path / "agent_build"
    folder.mkdir()
    (folder / "agent.spec").write_text(RECIPE)
    (folder / "entry.py").write_text("print('it runs')")
    monkeypatch.setattr(bases, "RECIPE", folder)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("recipe")
def test_build_by_two_at_once_makes_one_base_that_runs_stamped_and_keeps_one_other(settings, tmp_path):
    lines = ([], [])
    settings.bases.mkdir(parents=True)
    older = {f"saveos-agent-linux-x86_64-{digit * 16}" for digit in "123"}
    for name in older:
        (settings.bases / name).write_bytes(b"")
    (settings.bases / "building-left").mkdir()

    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(lambda said: bases.build(settings, Platform.LINUX, said.append, lambda: False), lines))

    assert paths[0] == paths[1] == bases.find(settings, Platform.LINUX)
    assert sorted(bool(said) for said in lines) == [False, True]  # the other one waited, and took what was made
    percents = [int(line.split(" %")[0]) for line in lines[0] or lines[1]]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    others = {path.name for path in settings.bases.iterdir()} - {"lock", paths[0].name}
    assert others < older
    assert len(others) == 1
    stamped = tmp_path / "stamped"
    stamp.write(paths[0], PAYLOAD, stamped)
    assert subprocess.run([stamped], capture_output=True, text=True, check=True).stdout == "it runs\n"


@pytest.mark.slow
@pytest.mark.usefixtures("recipe")
def test_build_when_cancelled_ends_the_builder_and_leaves_nothing(settings):
    lines = []

    with pytest.raises(BuildError, match="cancelled"):
        bases.build(settings, Platform.LINUX, lines.append, lambda: len(lines) > 5)

    assert [path.name for path in settings.bases.iterdir()] == ["lock"]
    assert _processes_that_name(settings.bases) == []


@pytest.mark.slow
def test_build_of_a_broken_recipe_says_why(settings, recipe):
    (recipe / "agent.spec").write_text("raise RuntimeError('this recipe is broken')")

    with pytest.raises(BuildError, match="this recipe is broken"):
        bases.build(settings, Platform.LINUX, lambda _line: None, lambda: False)

    assert [path.name for path in settings.bases.iterdir()] == ["lock"]


def _processes_that_name(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.decode(errors="replace"))
    return found
