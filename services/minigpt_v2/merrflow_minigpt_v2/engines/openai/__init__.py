"""The engine `openai`: a vision-language model behind any endpoint that speaks OpenAI's protocol."""
