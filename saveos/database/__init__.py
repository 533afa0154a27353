"""The SQLite file: one writer, many readers, migrations."""
