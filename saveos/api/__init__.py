"""Edge: HTTP for programs."""
