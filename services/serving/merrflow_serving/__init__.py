"""What every merrflow model service shares: server life, batching, errors, media, settings, metrics."""

__version__ = "0.1.0"
