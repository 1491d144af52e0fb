"""MERR's own files: JSON by clip name, and beside it a TXT with `name frame_count label` a line.

The coarse file holds every clip with a record; the fine file those with a fine-grained description. Both are a
function of the ledger alone, so that the same results give the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from merrflow.export.dataset import Entry, entries
from merrflow.export.files import whole_text
from merrflow.ledger import Ledger


def write_merr(ledger: Ledger, folder: Path) -> tuple[int, int]:
    """Writes the four files into `folder` and returns how many coarse and fine records they hold."""
    coarse = _write(ledger, folder / "MERR_coarse_grained", fine=False)
    fine = _write(ledger, folder / "MERR_fine_grained", fine=True)
    return coarse, fine


def merr_record(entry: Entry, *, fine: bool) -> dict[str, Any]:
    """One record with MERR's keys, in MERR's order."""
    record = entry.record
    values: dict[str, Any] = {
        "AU_list": list(record.label.action_units),
        "visual_prior_list": list(record.label.expressions),
        "audio_prior_list": record.tone.text if record.tone else "",
        "peak_index": str(record.peak.index),
        "peak_AU_list": list(record.peak.action_units),
        "pseu_emotion": record.label.label,
    }
    if fine:
        return values | {
            "text": record.subtitle.text or "",
            "smp_reason_caption": record.reasoning.text,
        }
    return values | {"caption": record.coarse}


def _write(ledger: Ledger, stem: Path, *, fine: bool) -> int:
    count = 0
    with whole_text(stem.with_suffix(".json")) as data, whole_text(stem.with_suffix(".txt")) as lines:
        data.write("{")
        for entry in entries(ledger):
            if fine and not entry.is_fine:
                continue
            record = entry.record
            text = json.dumps(merr_record(entry, fine=fine), ensure_ascii=False, indent=2).replace("\n", "\n  ")
            data.write(("," if count else "") + f"\n  {json.dumps(record.name, ensure_ascii=False)}: {text}")
            lines.write(f"{record.name} {record.probe.frame_count} {record.label.label}\n")
            count += 1
        data.write("\n}\n" if count else "}\n")
    return count
