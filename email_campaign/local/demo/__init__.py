"""The demo: a thousand people get a letter, told on the terminal, played through the public REST API only."""
