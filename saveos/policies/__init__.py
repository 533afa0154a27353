"""What is backed up, when, and how long it is kept."""
