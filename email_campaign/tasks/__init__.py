"""Long work as rows: progress, cursor, lease, cancel and result; idempotency keys."""
