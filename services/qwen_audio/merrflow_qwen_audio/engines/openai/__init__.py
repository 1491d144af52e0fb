"""The engine `openai`: an audio-language model behind any endpoint that speaks OpenAI's protocol."""
