"""Runs every benchmark, one after the other: `make bench`."""

from bench import compose, inbox

for name, run in (("Composing a mail, µs of processor time", compose.main), ("Mails into the inbox", inbox.main)):
    print(f"\n{name}")
    run()
