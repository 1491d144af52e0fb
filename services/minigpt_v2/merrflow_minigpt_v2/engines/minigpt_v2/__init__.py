"""MiniGPT-v2 on native transformers classes, from the authors' own checkpoint files."""
