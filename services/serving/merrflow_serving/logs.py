"""Structured logs on standard error: one JSON object a line, or coloured text for people."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor

LONGEST_VALUE = 2000  # characters


def configure(level: str, form: str) -> None:
    """Sets up logging for the process. Every line has `clip` and other bound context."""
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [_printable, structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _short,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _short(logger: object, method: str, event: EventDict) -> EventDict:
    """Clients choose the clip's name, which may have megabytes. Tracebacks are added later, and are not shortened."""
    return {key: _beginning(value) if isinstance(value, str) else value for key, value in event.items()}


def _beginning(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."


def _printable(logger: object, method: str, event: EventDict) -> EventDict:
    """Clients choose the clip's name: on a terminal it must not contain escape sequences. JSON escapes them."""
    return {key: _text(value) if isinstance(value, str) else value for key, value in event.items()}


def _text(value: str) -> str:
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in value)
