"""Backups: whole or not at all, with a manifest beside each; restored in one transaction, in which all is paused."""
