"""Uploaded images: checked, resized and compressed, stored where recipients reach them."""
