"""What became of every copy (read only)."""
