"""Runs on hosts."""
