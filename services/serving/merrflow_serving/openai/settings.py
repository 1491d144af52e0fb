"""Settings of every engine `openai`. Imports no client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from merrflow_serving.settings import ServiceSettings


def _json_object(value: object) -> object:
    """A JSON object from the environment. Its text is in no error: headers may hold a key."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError('must be a JSON object, such as {"name": "value"}')
    return found


class OpenAISettings(ServiceSettings):
    """The endpoint, and how it is called.

    OPENAI_BASE_URL, OPENAI_API_KEY and their like are not read: a key that is set for another program must not make
    this one send a data set to a provider.
    """

    openai_base_url: str = Field(
        "", description="engine openai: where the endpoint is, such as http://localhost:8000/v1"
    )
    openai_model: str = Field("", description="engine openai: the model's name, as the endpoint knows it")
    openai_api_key: SecretStr = Field(SecretStr(""), description="engine openai: the key; never logged or recorded")
    openai_api_key_file: Path | None = Field(None, description="engine openai: a file with the key alone")
    openai_headers: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)] = Field(
        default_factory=dict, description="engine openai: further HTTP headers, as a JSON object; never logged"
    )
    openai_extra_body: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)] = Field(
        default_factory=dict,
        description="engine openai: what is added to the body of every request, as a JSON object, such as "
        '{"reasoning_effort": "low"}; part of what results are found again by',
    )
    openai_concurrency: int = Field(16, ge=1, le=1024, description="engine openai: requests in flight at once")
    openai_requests_per_minute: float = Field(
        0.0, ge=0, description="engine openai: requests sent in a minute, repeated ones included; 0 for no limit"
    )
    openai_timeout_seconds: float = Field(
        120.0, gt=0, description="engine openai: how long one request may take before it is given up and repeated"
    )

    @field_validator("openai_base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            valid = not url or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        except ValueError:
            valid = False
        if not valid:
            raise ValueError("must be an address such as http://localhost:8000/v1")
        if parts.username is not None or parts.query or parts.fragment:  # they may hold a secret, and would be logged
            raise ValueError("must hold no user, password, query or fragment; give a key as API_KEY or HEADERS")
        return url.rstrip("/")
