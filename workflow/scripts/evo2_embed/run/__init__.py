"""A run: its frozen settings, and how far it is."""
