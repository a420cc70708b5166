"""The pages in a real browser.

A package, so that its service ends with its last test: two services would take each other's work.
"""
