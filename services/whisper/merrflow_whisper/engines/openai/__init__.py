"""The engine `openai`: speech recognition behind any endpoint that speaks OpenAI's protocol."""
