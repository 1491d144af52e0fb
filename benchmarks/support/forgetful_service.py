"""A service whose engine `openai` asks its endpoint again when a question is asked again: `python -m merrflow_serving`
otherwise.

A service keeps its last replies. Copies of one clip ask the same questions, which clips of a real dataset do not.
"""

from __future__ import annotations

import sys

from merrflow_serving.__main__ import main
from merrflow_serving.openai import client

if __name__ == "__main__":
    client.MOST_KEPT = 0
    sys.exit(main())
