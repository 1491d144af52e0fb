"""Qwen2-Audio-7B-Instruct on its own class of transformers."""
