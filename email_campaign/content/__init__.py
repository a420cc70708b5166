"""What we say: templates, rendering, the bytes of the mail."""
