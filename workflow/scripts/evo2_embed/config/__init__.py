"""The configuration: completed and checked before the first job."""
