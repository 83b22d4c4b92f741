"""Files, tables, digests, locks and logs: what every stage uses."""
