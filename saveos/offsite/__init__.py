"""Copies of repositories in S3-compatible stores, and the way back from them."""
