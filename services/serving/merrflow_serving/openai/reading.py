"""Whether a model behind an endpoint reads pictures or sound. Some servers drop what it cannot read, without a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.openai.engine import Calls
from merrflow_serving.openai.errors import Passing

_QUESTION = {"type": "text", "text": "Say: yes."}
_TOKENS = 16  # of the answers; some endpoints refuse fewer


def check_reads(calls: Callable[[], Calls], part: Mapping[str, Any], kind: str) -> None:
    """Asks with and without the `part` of a message, such as a picture.

    kind: "pictures" or "sound", for the message. Raises `NotReady` if the model refuses the part, or if the server's
    count of tokens shows that it was dropped; and what a text alone raises.
    """
    text = calls()
    plain = text.chat([{"role": "user", "content": [_QUESTION]}], max_tokens=_TOKENS).usage
    problem = f"the model {plain.model} at {plain.endpoint} reads no {kind}"
    try:
        found = calls().chat([{"role": "user", "content": [part, _QUESTION]}], max_tokens=_TOKENS).usage
    except Passing as error:  # llama.cpp's server answers 500 for what its model cannot read
        raise NotReady(f"{problem}, or cannot now: {error}", reason=error.reason) from error
    except InvalidInput as error:
        raise NotReady(f"{problem}: {error}; set another model", reason="MODEL_UNSUITED") from error
    if plain.input_tokens and plain.input_tokens == found.input_tokens:
        raise NotReady(
            f"{problem}: the server counts {found.input_tokens} tokens with one and without; set another model",
            reason="MODEL_UNSUITED",
        )
