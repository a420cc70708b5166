"""The REST API under /api/v1: one file a subject, each with its router and the schemas that it speaks."""
