"""What the HTML pages share: templates that escape all they are given, and a policy that runs nothing else.

The text in them comes from models, file names and subtitles and is not trusted: Jinja escapes all of it, and a page's
Content-Security-Policy allows its own style sheet and script, each by its hash, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str) -> Environment:
    """The templates in the folder of a package."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(package: str, name: str) -> str:
    """A style sheet or script in the folder of a package."""
    return (files(package) / name).read_text(encoding="utf-8")


def policy(style: str, script: str = "") -> str:
    """The Content-Security-Policy of a page with this style sheet and script."""
    sources = [f"style-src '{_digest(style)}'"] + ([f"script-src '{_digest(script)}'"] if script else [])
    return "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; " + "; ".join(sources)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
