"""Per-host executables, made on demand: a base per platform, and the stamp that makes it this host's."""
