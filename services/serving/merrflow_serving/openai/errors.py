"""What goes wrong with an endpoint, for callers. Imports no client."""

from __future__ import annotations

from dataclasses import dataclass

from merrflow_serving.errors import NotReady

_LONGEST = 300  # characters of a server's message that are passed on


class Refused(Exception):
    """The provider's filter refused the request: an outcome, not an error."""


class Passing(NotReady):
    """The endpoint gave no answer, and may give one later. Never kept as an answer."""

    reason = "ENDPOINT_UNREACHABLE"

    def __init__(self, message: str, *, wait: float | None = None, all_wait: bool = False, tries: int = 0) -> None:
        """wait: seconds that the server asks for. all_wait: whether other requests would fail as well until then.
        tries: so many failures with such a limit are the last, however many others came between; 0 for no limit."""
        super().__init__(message)
        self.wait = wait
        self.all_wait = all_wait
        self.tries = tries


@dataclass(frozen=True)
class Called:
    """What was called, for messages."""

    host: str
    model: str
    secrets: tuple[str, ...] = ()  # that no message may hold
    prefix: str = ""  # of the service's environment variables

    def says(self, text: str) -> str:
        """A server's words on one line, shortened, without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def wrong_answer(called: Called, why: str) -> Passing:
    """An answer of another form than the protocol's. A few tries: it may have been paid for."""
    return Passing(f"the endpoint {called.host} gave no usable answer: {called.says(why)}", tries=3)
