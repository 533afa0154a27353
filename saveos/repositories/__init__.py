"""Borg repositories on this appliance."""
