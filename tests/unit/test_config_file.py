"""Changing one value of saveos.toml."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos import config_file
from saveos.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

COMMENTED = """# ours
port = 8443  # as the firewall has it

names = [
    "backup.example.org",  # the old one
    '192.0.2.1',
]  # ask Anna
writers = 4
"""


def changed(path: Path, text: str, name: str, value: Any) -> str:
    path.write_text(text)
    config_file.put(path, name, value)
    return path.read_text()


def test_value_over_several_lines_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    text = changed(tmp_path / "saveos.toml", COMMENTED, "names", ["a", "b"])

    assert text == ('# ours\nport = 8443  # as the firewall has it\n\nnames = ["a", "b"]  # ask Anna\nwriters = 4\n')


@pytest.mark.parametrize("text", ["", "port = 1", "port = 1\n", "# only a comment\n", "\n\n"])
def test_value_that_is_not_there_is_added(text: str, tmp_path: Path) -> None:
    written = changed(tmp_path / "saveos.toml", text, "language", "fr")

    assert {**tomllib.loads(text), "language": "fr"} == tomllib.loads(written)
    assert written.startswith(text.rstrip("\n"))


def test_value_is_added_before_the_first_table(tmp_path: Path) -> None:
    written = changed(tmp_path / "saveos.toml", "port = 1\n\n[later]\nnames = 1\n", "names", ["x"])

    assert {"port": 1, "names": ["x"], "later": {"names": 1}} == tomllib.loads(written)


@pytest.mark.parametrize(
    "line",
    ['language = "en"', "'language'='en' # x", '"language" = """e\nn"""', 'language="#not a comment"  # but this is'],
)
def test_value_in_another_spelling_is_found(line: str, tmp_path: Path) -> None:
    written = changed(tmp_path / "saveos.toml", f"port = 1\n{line}\nwriters = 2\n", "language", "fr")

    assert {"port": 1, "language": "fr", "writers": 2} == tomllib.loads(written)


def test_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    config_file.put(tmp_path / "new.toml", "language", "fr")
    old = tmp_path / "old.toml"
    old.touch(mode=0o644)
    old.chmod(0o644)
    config_file.put(old, "language", "fr")

    assert (0o600, 0o644) == tuple((tmp_path / name).stat().st_mode & 0o777 for name in ("new.toml", "old.toml"))
    assert {"new.toml", "old.toml"} == {path.name for path in tmp_path.iterdir()}


def test_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "saveos.toml"
    path.write_text("port = = 1\n")

    with pytest.raises(InvalidRequest):
        config_file.put(path, "language", "fr")
    assert path.read_text() == "port = = 1\n"


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        config_file.put(tmp_path / "no" / "saveos.toml", "language", "fr")


@given(values=st.lists(st.text(max_size=20), max_size=5))
def test_any_text_comes_back(values: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("toml") / "saveos.toml"

    config_file.put(path, "names", values)
    config_file.put(path, "names", [*values, "more"])

    assert {"names": [*values, "more"]} == tomllib.loads(path.read_text(encoding="utf-8"))
