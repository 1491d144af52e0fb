"""What the engines `openai` of all services share: any endpoint that speaks OpenAI's protocol (docs/models.md).

Only `client` and `failures` import the package `openai`; an engine imports them when it loads.
"""
