"""Whom we may mail: contacts, lists, subscriptions, suppressions, imports."""
