"""Files, tables, digests, locks and logs: used by every stage."""
