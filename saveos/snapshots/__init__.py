"""Moments that a person can restore from."""
