"""Cache keys: what each stage's result, and in the end each record, depends on. They follow from the graph.

A key is a hash of plain values. The same key means the same work, which is then not done again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

from merrflow.core.fingerprint import fingerprint, plain_fingerprint
from merrflow.core.measurements import Clip
from merrflow.core.settings import RunSettings
from merrflow.facs import Lexicon, RuleSet
from merrflow.formats.precomputed import Precomputed
from merrflow.formats.subtitle_files import Listing, sidecar_key
from merrflow.stages.graph import Graph
from merrflow.stages.stage import FIRST_VERSION, Identity, Stage
from merrflow.stages.witnesses.rules import Witnesses

RECORD_VERSION = "3"  # of how a record is put together; stages have versions of their own
_VERSIONS_FIRST = ("probe", "subtitle")  # stages whose versions are without a name in the keys of every ledger so far
_DATA_FIRST = ("coarse", "subject", "grounding")  # the order of the data files in the keys of every ledger so far


class CacheKeys:
    """The keys of a run, known before any service has loaded its model."""

    def __init__(
        self,
        graph: Graph,
        identities: Mapping[str, Identity],
        limits: Mapping[str, Identity],
        settings: RunSettings,
        rules: RuleSet,
        lexicon: Lexicon,
        witnesses: Witnesses,
        ocr: str,
        precomputed: Precomputed | None = None,
        second: Mapping[str, Identity | None] = MappingProxyType({}),
        compared_by: Sequence[str] = (),
    ) -> None:
        """identities, limits: of the services' engines, by service. ocr: revision of the OCR models. second: of second
        engines, by name; None for one that does not say what it is. compared_by: versions of what compares answers."""
        self._precomputed = precomputed
        self._second = {name: fingerprint(name, known, compared_by)[:12] for name, known in second.items() if known}
        self._is_blind = len(self._second) < len(second)
        # Not part of the keys: a higher limit changes only what was refused before.
        self._limits = fingerprint(limits)[:8]
        data = {stage.name: stage.data_version() for stage in graph if stage.data_version}
        self._common = fingerprint(
            [RECORD_VERSION, *(_version(stage) for stage in graph if stage.version != FIRST_VERSION), ocr],
            [*(data.pop(name) for name in _DATA_FIRST), *data.values()],
            identities,
            rules,
            lexicon,
            witnesses,
            settings.model_dump(include=set(graph.settings)),
        )

    def of_stage(self, stage: Stage[Any], clip: Clip, depends_on: Any) -> str:
        """The key of a stage's result. depends_on: beside the clip's bytes and the stage's version."""
        if (
            stage.version != FIRST_VERSION
        ):  # a first version is not part of the key: stages had none in the oldest ledgers
            depends_on = [stage.version, *(depends_on if isinstance(depends_on, list) else [depends_on])]
        return fingerprint(stage.kept_as, clip.sha256, depends_on)

    def of_record(self, clip: Clip, listed: MutableMapping[str, Listing] | None = None) -> str:
        """The key of the clip's record: one for the record, and after it one for each second engine. listed: as of
        `find_sidecars`. Raises `OSError` if a file beside the clip cannot be read."""
        own = (clip.sha256, clip.sentence, clip.label, sidecar_key(clip.path, listed))
        if self._precomputed:
            key = fingerprint(self._common, *own, self._precomputed.cache_key(clip))
        else:
            key = plain_fingerprint([self._common, *own])
        return ":".join([key, *sorted(self._second.values())])

    def without(self, key: str, away: Collection[str]) -> str:
        """The key of a record to which these second engines still have to add their answers."""
        still = {self._second.get(name) for name in away}
        return ":".join(part for part in key.split(":") if part not in still)

    def is_done(self, clip: Clip, finished: str, listed: MutableMapping[str, Listing] | None = None) -> bool:
        """Whether nothing is left to do for a clip that was finished under a key. Of a second engine that does not say
        what it is, nothing can be asked, so what it answered before is as good as it gets. listed: as of
        `find_sidecars`. Raises `OSError`."""
        key = self.of_record(clip, listed)
        if finished in (key, self.refused(key)):
            return True
        (record, *parts), (own, *wanted) = finished.split(":"), key.split(":")
        return self._is_blind and record == own and set(wanted) <= set(parts)

    def of_nothing(self, clip: Clip) -> str:
        """The key of an outcome without any result, as the clip's files could not be read. No record has it."""
        return plain_fingerprint(["away", clip.sha256])

    def refused(self, key: str) -> str:
        """The key of work that was refused as too large. It is valid only for the services' current limits."""
        return f"{key}:{self._limits}"


def _version(stage: Stage[Any]) -> str:
    """As the record's key has it: named, so that two stages that are raised to the same version differ."""
    return stage.version if stage.name in _VERSIONS_FIRST else f"{stage.name} {stage.version}"
