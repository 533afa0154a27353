"""Work as rows: asked for, claimed, ended."""
