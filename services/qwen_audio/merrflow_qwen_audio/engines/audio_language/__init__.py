"""What the engines for models of the Qwen-Audio family share: spectrogram, encoder, prompts, decoding, replies."""
