"""Where settings come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import config
from saveos.config import Origin

if TYPE_CHECKING:
    from pathlib import Path


def test_origins_name_who_set_each_value(tmp_path: Path) -> None:
    (tmp_path / "saveos.toml").write_text('port = 1\nwriters = 2\nlog_level = "debug"\n')
    flags = {"data": str(tmp_path), "port": 3, "language": None}

    settings, origins = config.load_with_origins(flags, {"SAVEOS_WRITERS": "5"})

    assert (3, 5, "debug") == (settings.port, settings.writers, settings.log_level)
    expected = {"port": Origin.FLAG, "writers": Origin.ENVIRONMENT, "log_level": Origin.FILE, "names": Origin.DEFAULT}
    assert expected == {name: origins.of_setting(name) for name in expected}
    assert ["port", "writers"] == [name for name in expected if origins.is_fixed(name)]
    assert origins.file == tmp_path / "saveos.toml"


def test_settings_file_to_be_made_lies_in_the_data_folder(tmp_path: Path) -> None:
    _settings, origins = config.load_with_origins({"data": str(tmp_path / "data")}, {})

    assert origins.file == tmp_path / "data" / "saveos.toml"
