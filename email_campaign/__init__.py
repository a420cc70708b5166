"""A self-hosted e-mail campaign service that can prove what happened to every single copy."""

__version__ = "0.1.0"
