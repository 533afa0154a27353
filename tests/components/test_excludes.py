"""What a host says that a backup takes and skips, against Borg's own `create --dry-run --list`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from saveos.agent import engine_excludes
from saveos.agent.counts import Counts
from saveos.agent.engine_excludes import Trial
from tests.support import odd_tree
from tests.support.agent import stock_borg

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.protocol import ExcludesTried

CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n"
OPTIONS = ["--exclude-caches", "--files-cache", "ctime,size,inode"]  # those of a backup


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd names of every kind, caches, links to folders and Borg's own home in the midst of them."""
    top = tmp_path_factory.mktemp("excludes") / "tree"
    odd_tree.make(top)
    for name in ("tagged", "nearly", "user/.cache", "user/.local/share/Trash/files", "[set]", "modes.d"):
        (top / name).mkdir(parents=True)
        (top / name / "file.txt").write_text(name)
    (top / "tagged" / "CACHEDIR.TAG").write_text(CACHE_TAG)
    (top / "tagged" / "below").mkdir()
    (top / "tagged" / "below" / "large").write_bytes(bytes(100_000))
    (top / "nearly" / "CACHEDIR.TAG").write_text("no signature")
    (top / "link-to-folder").symlink_to("modes", target_is_directory=True)
    os.link(top / "random.bin", top / "user" / "hard-link")
    (top / "e\u0301 decomposed").write_text("two code points")
    return top


@pytest.fixture(scope="module")
def repository(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository outside the tree; Borg's home, with its cache, lies inside."""
    folder = tmp_path_factory.mktemp("repository") / "repository"
    assert 0 == stock_borg(folder, "", tree / "home", "init", "--encryption", "none").returncode
    stock_borg(folder, "", tree / "home", "create", "--dry-run", "::first", str(tree))  # makes the rest of its home
    return folder


def borg_takes(repository: Path, tree: Path, trial: Trial) -> tuple[list[str], list[str]]:
    """Return the paths that Borg lists as taken and as excluded."""
    arguments = ["create", "--dry-run", "--list", "--log-json", *OPTIONS]
    arguments += ["--one-file-system"] if trial.one_file_system else []
    arguments += [f"--exclude={pattern}" for pattern in trial.excludes]
    done = stock_borg(repository, "", tree / "home", *arguments, "::none", "--", *trial.paths)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    status = [(line["status"], line["path"]) for line in lines if line["type"] == "file_status"]
    assert status, done.stderr
    return sorted(path for kind, path in status if kind == "-"), sorted(path for kind, path in status if kind == "x")


class Listed(Counts):
    """Counts that also keep the paths."""

    def __init__(self) -> None:
        super().__init__(lambda _tried: None)
        self.taken: list[str] = []
        self.left_out: list[str] = []

    def process_file(self, *, path: str, st: os.stat_result, **others: Any) -> None:
        self.taken.append(path)
        super().process_file(path=path, st=st, **others)

    def process_dir_with_fd(self, **others: Any) -> None:
        self.taken.append(others["path"])

    def process_symlink(self, **others: Any) -> None:
        self.taken.append(others["path"])

    process_fifo = process_dev = process_symlink

    def skip(self, path: str) -> None:
        self.left_out.append(path)
        super().skip(path)


def walked(trial: Trial) -> Listed:
    from borg.patterns import parse_exclude_pattern

    listed = Listed()
    engine_excludes.walk(trial, [parse_exclude_pattern(pattern) for pattern in trial.excludes], listed)
    return listed


def as_listed(paths: list[str]) -> list[str]:
    """Return paths as Borg prints them."""
    return sorted(path.encode(errors="replace").decode() for path in paths)


@pytest.mark.parametrize(
    "excludes",
    [
        [],
        ["*.txt"],
        ["*/modes"],
        ["TREE/modes"],
        ["TREE/modes/"],
        ["TREE/modes/", "TREE/ünïcödé"],
        ["modes"],
        ["fm:*cache*", "fm:*/level-0[5-9]*"],
        ["sh:**/.cache", "sh:**/.local/share/Trash"],
        ["sh:TREE/**/level-1?-*"],
        ["sh:TREE/*"],
        ["re:\\.(txt|bin)$"],
        ["re:^/"],
        ["re:new\nline"],
        ["pp:TREE/user"],
        ["pp:TREE/user/"],
        ["pf:TREE/plain.txt"],
        ["pf:TREE/user"],
        ["TREE/[set]"],
        ["TREE/[[]set]", "*[?][[]a]"],
        ["TREE/é decomposed"],
        ["*日本*", "-dash", "*/-dash"],
        ["TREE"],
        ["*"],
    ],
    ids=repr,
)
def test_excludes_leave_exactly_what_borg_leaves(tree: Path, repository: Path, monkeypatch, excludes) -> None:
    monkeypatch.setenv("BORG_BASE_DIR", str(tree / "home"))
    trial = Trial(paths=[str(tree)], excludes=[pattern.replace("TREE", str(tree)) for pattern in excludes])

    listed = walked(trial)

    taken, left_out = borg_takes(repository, tree, trial)
    assert taken == as_listed(listed.taken)
    assert left_out == as_listed(listed.left_out)


@pytest.mark.parametrize(
    "sources",
    [
        ["TREE/modes", "TREE", "TREE/user"],
        ["TREE/user", "TREE/user"],
        ["TREE/./user"],
        ["TREE/modes/../user/"],
        ["TREE/link-to-folder", "TREE/dangling-link", "TREE/plain.txt", "TREE/pipe"],
        ["TREE/link-to-folder/"],
        ["TREE/none", "TREE/modes"],
        ["TREE/tagged"],
        ["/dev"],
    ],
    ids=repr,
)
def test_sources_are_taken_as_borg_takes_them(tree: Path, repository: Path, monkeypatch, sources) -> None:
    monkeypatch.setenv("BORG_BASE_DIR", str(tree / "home"))
    paths = [source.replace("TREE", str(tree)) for source in sources]
    trial = Trial(paths=paths, excludes=["*.bin"], one_file_system=True)

    listed = walked(trial)

    taken, left_out = borg_takes(repository, tree, trial)
    assert taken == as_listed(listed.taken)
    assert left_out == as_listed(listed.left_out)


def test_counts_are_those_of_the_archive(tree: Path, repository: Path, monkeypatch) -> None:
    monkeypatch.setenv("BORG_BASE_DIR", str(tree / "home"))
    paths = [str(tree / name) for name in ("modes", "user", "ünïcödé", "random.bin", "tagged", "hard-link")]
    trial = Trial(paths=paths, excludes=["*/.cache"])
    told: list[ExcludesTried] = []

    engine_excludes.try_excludes(trial, told.append)

    done = stock_borg(repository, "", tree / "home", "create", "--json", *OPTIONS, "-e", "*/.cache", "::real", *paths)
    stats = json.loads(done.stdout)["archive"]["stats"]
    last = told[-1]
    assert last.is_final
    assert stats["nfiles"] == last.files_count
    assert 0 <= stats["original_size"] - last.original_bytes < 50_000  # Borg also counts names and modes
    assert (4, {str(tree / "tagged"), str(tree / "user" / ".cache")}) == (last.skipped_files_count, set(last.examples))


@pytest.mark.parametrize("pattern", ["re:(", "xx:what", "re:a{99999999999}", "sh:[z-a]"])
def test_pattern_that_borg_refuses_is_named(tree: Path, repository: Path, pattern: str) -> None:
    told: list[ExcludesTried] = []

    engine_excludes.try_excludes(Trial(paths=[str(tree)], excludes=["*.txt", pattern]), told.append)

    done = stock_borg(repository, "", tree / "home", "create", "--dry-run", "-e", pattern, "::none", str(tree))
    assert [(pattern, True, 0)] == [(tried.bad_pattern, tried.is_final, tried.files_count) for tried in told]
    assert told[0].message
    assert 2 == done.returncode
