"""What an endpoint's failures mean: which pass, which are the settings' fault, and which are the request's."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time

import httpx2
import openai

from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError, NotReady, TooLarge
from merrflow_serving.openai.errors import Called, Passing, Refused

_FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")  # `code` of an error
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")  # `code` or `type`: OpenAI, llama.cpp
_NO_MONEY = "insufficient_quota"  # sent as 429, though no wait helps
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds, where the server asks for no other


def failure_of(error: Exception, called: Called) -> MerrflowError | Refused:
    """What a failed call means for the item it was for."""
    if isinstance(error, openai.APIStatusError):
        return _status(error, called)
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return Passing(f"the endpoint {called.host} did not answer in time")
    if isinstance(error, openai.APIError | httpx2.HTTPError):  # the second while an answer arrives
        return Passing(f"the endpoint {called.host} cannot be reached ({called.says(_cause(error))})")
    return EngineFault(f"the call of {called.host} failed: {called.says(f'{type(error).__name__}: {error}')}")


def _status(error: openai.APIStatusError, called: Called) -> MerrflowError | Refused:
    status, host = error.status_code, called.host
    said = called.says(_message(error))
    if status == HTTPStatus.UNAUTHORIZED:  # its words are not passed on: some servers repeat the key in them
        return NotReady(f"the endpoint {host} refuses the key (401): set {called.prefix}API_KEY", reason="KEY_REFUSED")
    if {error.code, error.type} & set(_FILTERED):
        return Refused(said)
    if status == HTTPStatus.FORBIDDEN:
        return NotReady(f"the endpoint {host} forbids the model {called.model} (403): {said}", reason="KEY_REFUSED")
    if status == HTTPStatus.NOT_FOUND:
        return NotReady(
            f"the endpoint {host} does not know the model {called.model}, or {called.prefix}BASE_URL is wrong, such as "
            f"without /v1 (404): {said}",
            reason="MODEL_MISSING",
        )
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or {error.code, error.type} & set(_TOO_LONG):
        return TooLarge(f"the endpoint {host} takes no request of this size ({status}): {said}")
    wait = _retry_after(error)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if error.code == _NO_MONEY:
            return Passing(f"the account at {host} has no quota left (429): {said}", tries=1)
        return Passing(f"the endpoint {host} limits the rate (429): {said}", wait=wait, all_wait=True)
    if status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY):
        return Passing(f"the endpoint {host} fails ({status}): {said}", wait=wait, all_wait=wait is not None)
    if status < 400:
        return NotReady(
            f"the endpoint {host} redirects ({status}), which is not followed: set {called.prefix}BASE_URL to where",
            reason="ENDPOINT_REDIRECTS",
        )
    return InvalidInput(f"the endpoint {host} refuses the request ({status}): {said}", reason="ENDPOINT_REFUSES")


def pause(failure: Passing, unguided: int) -> float:
    """Seconds until the next try: as the server asks, else exponential by the number of failures for which it asked for
    no pause, with jitter."""
    if failure.wait is not None:
        return failure.wait * random.uniform(1.0, 1.1)
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(unguided - 1, 10)) * random.uniform(0.5, 1.0)


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        said = body.get("message") or body.get("detail") or body.get("error")
        return said if isinstance(said, str) else str(body)
    if isinstance(body, str) and "<" in body[:200]:
        return "an HTML page"
    return str(body or "no reason given")


def _cause(error: BaseException) -> str:
    """The innermost cause that says something: openai's own text is "Connection error."."""
    text = str(error)
    while error.__cause__ is not None:
        error = error.__cause__
        text = str(error) or text
    return text


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds, by `retry-after-ms` or `retry-after` (RFC 9110: seconds or a date); None without a usable one."""
    headers = error.response.headers
    try:
        if milliseconds := headers.get("retry-after-ms"):
            wait = float(milliseconds) / 1000
        else:
            wait = _seconds(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return wait if 0 <= wait < float("inf") else None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
