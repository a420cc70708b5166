"""Pages for everybody: sign-in, health, and what the links in mails lead to."""
