"""One message, one audience, one moment: lifecycle and schedule; the mailing and its kinds."""
