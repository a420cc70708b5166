"""Who may sign in: users, sessions, API tokens."""
