"""What datasets show: layers compared, context needed, layers fused, layers probed."""
