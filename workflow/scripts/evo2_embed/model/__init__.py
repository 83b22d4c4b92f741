"""Models: their layers and limits, their weights, and how they are loaded."""
