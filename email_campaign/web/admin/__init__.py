"""The team's pages under /admin: one file a subject."""
