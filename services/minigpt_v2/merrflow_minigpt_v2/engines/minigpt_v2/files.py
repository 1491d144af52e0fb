"""The three downloads (entries of weights.yaml) and the files in them; the language model is a whole Llama folder."""

from __future__ import annotations

LANGUAGE, VISION, CHECKPOINT = ENTRIES = ("llama-2-7b-chat", "eva-vit-g", "minigpt-v2")
VISION_FILE = "eva_vit_g.pth"
CHECKPOINT_FILE = "minigptv2_checkpoint.pth"
TOKENIZER_FILE = "tokenizer.model"  # in the Llama folder
