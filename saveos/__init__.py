"""SaveOS: a backup appliance. Imports nothing, so that freezing the agent pulls nothing in."""

__version__ = "0.1.0"
