"""Keys of finished work: what each clip's record depends on, so that a run knows what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merrflow.clients import Identity
from merrflow.facs import Lexicon, RuleSet
from merrflow.fingerprint import fingerprint
from merrflow.settings import RunSettings
from merrflow.stages import coarse, probe, subject, subtitle
from merrflow.stages.sidecar import find_sidecars
from merrflow.types import Clip

VERSION = "1"  # of what the pipeline makes of the stages' results


class WorkKeys:
    """What each clip's record depends on, known without any service at work."""

    def __init__(
        self,
        identities: dict[str, Identity],
        limits: dict[str, Identity],
        settings: RunSettings,
        rules: RuleSet,
        lexicon: Lexicon,
        ocr: str,
    ) -> None:
        """identities, limits: of the services' engines, by service. ocr: revision of the OCR models."""
        self.identities = identities
        # Not part of the keys: a higher limit changes nothing but what was refused before.
        self._limits = fingerprint(limits)[:8]
        self._common = fingerprint(
            [VERSION, probe.VERSION, subtitle.VERSION, ocr],
            [coarse.load_template().version, subject.load_subject_rules().version],
            identities,
            rules,
            lexicon,
            settings.model_dump(include={"neutral_sample", "seed", "max_clip_seconds", "max_pixels"}),
        )

    def refused(self, key: str) -> str:
        """The key of work that was refused as too large: it holds for the services' present limits only."""
        return f"{key}:{self._limits}"

    def of(self, clip: Clip) -> str:
        """The fingerprint of the clip's record."""
        return fingerprint(self._common, clip.sha256, clip.sentence, clip.label, sidecar_stamp(clip.path))


def sidecar_stamp(clip: Path) -> list[list[Any]]:
    """Subtitle files beside the clip, by name, size and time: enough to see that one came or changed."""
    return [[path.name, (stat := path.stat()).st_size, stat.st_mtime_ns] for path in find_sidecars(clip)]
