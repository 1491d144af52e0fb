"""Keys of finished work: what each clip's record depends on, so that a run knows what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merrflow.clients import Identity
from merrflow.core.fingerprint import fingerprint, plain_fingerprint
from merrflow.core.records import Clip
from merrflow.core.settings import RunSettings
from merrflow.facs import Lexicon, RuleSet
from merrflow.formats.precomputed import Given
from merrflow.formats.subtitle_files import find_sidecars
from merrflow.stages import coarse, grounding, probe, subject, subtitle

VERSION = "2"  # of what the pipeline makes of the stages' results
_SETTINGS = {"neutral_sample", "seed", "max_clip_seconds", "max_pixels", "labels_from", "label_scores"}


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
        given: Given | None = None,
    ) -> None:
        """identities, limits: of the services' engines, by service. ocr: revision of the OCR models. given: where
        Action Units come from files."""
        self.identities = identities
        self._given = given
        # Not part of the keys: a higher limit changes nothing but what was refused before.
        self._limits = fingerprint(limits)[:8]
        self._common = fingerprint(
            [VERSION, probe.VERSION, subtitle.VERSION, ocr],
            [coarse.load_template().version, subject.load_subject_rules().version, grounding.load_grounding().version],
            identities,
            rules,
            lexicon,
            settings.model_dump(include=_SETTINGS),
        )

    @property
    def reasoner(self) -> Identity:
        """Of the llama3 service, what its texts depend on."""
        return {key: value for key, value in self.identities["llama3"].items() if key != "scoring_prompt_version"}

    @property
    def scorer(self) -> Identity:
        """Of the llama3 service, what its scores of labels depend on."""
        found = self.identities["llama3"]
        return self.reasoner | {"prompt_version": found.get("scoring_prompt_version", "")}

    def refused(self, key: str) -> str:
        """The key of work that was refused as too large: it holds for the services' present limits only."""
        return f"{key}:{self._limits}"

    def of(self, clip: Clip) -> str:
        """The fingerprint of the clip's record."""
        own = (clip.sha256, clip.sentence, clip.label, sidecar_stamp(clip.path))
        if self._given:
            return fingerprint(self._common, *own, self.units_of(clip))
        return plain_fingerprint([self._common, *own])

    def units_of(self, clip: Clip) -> Any:
        """What the clip's Action Units depend on beside its bytes: an engine, or a given file."""
        return self._given.stamp(clip) if self._given else self.identities["openface-au"]


def sidecar_stamp(clip: Path) -> list[list[Any]]:
    """Subtitle files beside the clip, by name, size and time: enough to see that one came or changed."""
    return [[path.name, (stat := path.stat()).st_size, stat.st_mtime_ns] for path in find_sidecars(clip)]
