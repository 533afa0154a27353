"""Hosts under protection."""
