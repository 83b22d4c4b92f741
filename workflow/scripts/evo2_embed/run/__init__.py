"""A run: its frozen settings, and its progress."""
