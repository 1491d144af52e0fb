"""What the engines `openai` of all services share: any endpoint that speaks OpenAI's protocol (docs/remote-models.md).

Only `client` and `failures` import the package `openai`, and only once an engine loads.
"""
