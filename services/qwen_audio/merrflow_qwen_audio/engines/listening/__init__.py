"""What the engines of the Qwen-Audio family share: spectrogram, encoder canvas, decoding, windows and replies."""
