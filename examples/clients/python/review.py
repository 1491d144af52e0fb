"""Gives a reviewer's answers to merrflow review or merrflow audit: python review.py ADDRESS REVIEWER ANSWERS.csv

ANSWERS.csv has the columns name and label and, for an audit, any of face, scene, tone, subtitle and text with "right",
"wrong" or "unclear". The address is the one that the command prints; needs Python alone.
"""

import csv
import json
import secrets
import sys
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

CLUES = ("face", "scene", "tone", "subtitle", "text")
PAGE = 200  # clips in one answer, at most


class Server:
    """The review server, as its own page asks it."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.opener = build_opener(ProxyHandler({}))  # it is on this machine

    def ask(self, path: str, values: dict, body: dict | None = None) -> dict:
        request = Request(f"{self.address}{path}?{urlencode(values)}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
            request.add_header("Origin", self.address)  # changes are taken from the server's own page alone
        with self.opener.open(request, timeout=60) as answer:
            return json.load(answer)

    def clips(self, reviewer: str) -> dict[str, str]:
        """Ids by name."""
        found: dict[str, str] = {}
        while True:
            values = {"reviewer": reviewer, "sort": "name", "offset": len(found), "limit": PAGE}
            listed = self.ask("/api/clips", values)
            found |= {row["name"]: row["id"] for row in listed["rows"]}
            if not listed["rows"] or len(found) >= listed["total"]:
                return found

    def say(self, clip: str, reviewer: str, said: dict) -> None:
        """A verdict on the clip as it is now. It is in the ledger when this returns."""
        shown = self.ask(f"/api/clips/{clip}", {"reviewer": reviewer})
        body = {"key": secrets.token_hex(16), "reviewer": reviewer, "kind": "keep", "sha256": shown["sha256"]}
        self.ask(f"/api/clips/{clip}/verdict", {}, body | {"said": said})


def main() -> None:
    address, reviewer, answers = sys.argv[1:4]
    server = Server(address)
    try:
        audit, clips = server.ask("/api/about", {})["audit"], server.clips(reviewer)
        with open(answers, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if row["name"] not in clips:
                    print(f"{row['name']}: not among the {len(clips)} clips to look at", file=sys.stderr)
                    continue
                said = {"label": row["label"], "blind": audit}
                server.say(clips[row["name"]], reviewer, said)  # in an audit the label comes first, blind
                clues = {clue: row[clue] for clue in CLUES if row.get(clue)}
                if audit and clues:
                    server.say(clips[row["name"]], reviewer, said | {"clues": clues})
    except HTTPError as error:
        sys.exit(f"{error.url}: {json.load(error).get('detail', error.reason)}")
    found = server.ask("/api/progress", {"reviewer": reviewer})
    print(f"{found['mine']} of {found['total']} by {reviewer}, {found['clips']} by anyone")


if __name__ == "__main__":
    main()
