"""Shards to datasets: checked, merged, written, described."""
