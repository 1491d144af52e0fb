"""Qwen-Audio and Qwen-Audio-Chat (the first generation) on classes of transformers, from the original checkpoints."""
