"""Exports of other tools, in the form in which Label Studio 1.23 and argilla 2.8 really wrote them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EARLY, LATE = "2026-01-01T10:00:00.000001Z", "2026-01-02T10:00:00.5Z"


@dataclass(frozen=True)
class Given:
    """What one person said of one clip."""

    clip: str
    sha256: str
    label: str | None = "sad"
    text: str = ""
    who: Any = 1  # Label Studio's number of the person, or all of them
    at: str | None = EARLY
    shown: str = "The smile and the bright voice tell of joy."
    cancelled: bool = False

    @property
    def data(self) -> dict[str, Any]:
        return {"name": self.clip, "sha256": self.sha256, "video": f"/videos/{self.clip}.mp4", "fine": self.shown}

    @property
    def flat(self) -> dict[str, Any]:
        """As in JSON-MIN."""
        own = {"emotion": self.label, "description": self.text} if self.label else {}
        known = {"annotator": self.who, "annotation_id": 1, "created_at": EARLY, "updated_at": self.at}
        return self.data | {"id": 1} | own | known | {"lead_time": 3.5}


def full(given: Sequence[Given]) -> str:
    """JSON: a task for each."""
    tasks = []
    for number, one in enumerate(given, start=1):
        result = [_result("emotion", "choices", {"choices": [one.label]})] if one.label else []
        if one.text:
            result.append(_result("description", "textarea", {"text": [one.text]}))
        annotation = {"id": number, "completed_by": one.who, "result": result, "was_cancelled": one.cancelled}
        annotation |= {"created_at": EARLY, "updated_at": one.at, "prediction": {"id": 1, "result": []}}
        task = {"id": number, "annotations": [annotation], "drafts": [], "predictions": [1], "data": one.data}
        tasks.append(task | {"meta": {}, "project": 2})
    return json.dumps(tasks)


def minimal(given: Sequence[Given]) -> str:
    """JSON-MIN."""
    return json.dumps([one.flat for one in given], indent=2)


def table(given: Sequence[Given], delimiter: str = ",") -> str:
    """CSV, or TSV."""
    rows = [one.flat for one in given]
    columns = sorted({key for row in rows for key in row})
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, columns, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


DIALECTS = {"JSON": full, "JSON_MIN": minimal, "CSV": table, "TSV": lambda given: table(given, "\t")}


def argilla(given: Sequence[Mapping[str, Any]]) -> str:
    """records.json. Each: clip, sha256, and responses by question, [value, user] each; status."""
    return json.dumps(
        [
            {
                "id": one["clip"],
                "fields": {"coarse": "-"},
                "metadata": {"sha256": one["sha256"]},
                "suggestions": {"description": {"value": one.get("shown", ""), "score": None, "agent": None}},
                "responses": {
                    question: [{"value": value, "user_id": user} for value, user in said]
                    for question, said in one.get("responses", {}).items()
                },
                "vectors": {},
                "status": one.get("status", "completed"),
                "_server_id": None,
            }
            for one in given
        ]
    )


def _result(name: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "video", "type": kind, "value": dict(value)}
