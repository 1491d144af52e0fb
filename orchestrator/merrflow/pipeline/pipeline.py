"""One clip's way through the stages, remembered step by step in the ledger.

The pipeline only wires: stages compute, services measure and speak, the ledger remembers. Whatever happens to a
clip ends in exactly one outcome for it, and disturbs no other clip. Where services are absent for a while
(gpu_sharing/), a clip that needs one pauses without an outcome, and goes on there the next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from sqlalchemy.exc import SQLAlchemyError

from merrflow.clients import Services
from merrflow.core.atomic_files import whole_bytes
from merrflow.core.errors import RunStopped, writing_outputs
from merrflow.core.fingerprint import fingerprint, fraction
from merrflow.core.paths import path_text
from merrflow.core.records import (
    ActionUnitSeries,
    Clip,
    Curves,
    Label,
    LabelScores,
    Origin,
    Outcome,
    Peak,
    Probe,
    Reasoning,
    Record,
    Scene,
    Subject,
    Subtitle,
    Tone,
)
from merrflow.core.settings import RunSettings
from merrflow.datasets.entries import RECORDS
from merrflow.facs import Lexicon, RuleSet
from merrflow.formats.precomputed import Given as GivenUnits
from merrflow.formats.precomputed import GivenPeaks
from merrflow.pipeline.cache_keys import WorkKeys, sidecar_stamp
from merrflow.pipeline.pause import OWN_WORK, Pause, Paused, all_or_none
from merrflow.pipeline.stage_cache import MAX_ATTEMPTS, Known, Memory
from merrflow.stages import coarse, grounding, label, peak, peak_frame, probe, subject, subtitle
from merrflow.stages.clues import Clues
from merrflow.stages.label import Given
from merrflow.stages.skip import Skip
from merrflow.stages.stage import Reply
from merrflow.stages.text_reader import SharedReader
from merrflow.store import StageRow
from merrflow_serving.errors import MerrflowError, TooLarge
from merrflow_serving.media.audio import encode_wav

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class _Stop(Exception):
    """The clip needs no more work."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


@dataclass
class _Progress:
    """What gathers while one clip is worked on."""

    clip: Clip
    seconds: dict[str, float] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    decoded: asyncio.Task[probe.Decoded] | None = None
    frame: peak_frame.PeakFrame | None = None


@dataclass(frozen=True)
class _Seen:
    """What the face tells."""

    person: Subject
    peak: Peak
    curves: Curves
    measurable: tuple[str, ...]  # Action Units


class Pipeline:
    """Annotates clips, any number at once."""

    def __init__(
        self,
        services: Services,
        keys: WorkKeys,
        memory: Memory,
        settings: RunSettings,
        rules: RuleSet,
        lexicon: Lexicon,
        out: Path,
        threads: ThreadPoolExecutor,
        reader: SharedReader,
        given: GivenUnits | None = None,
    ) -> None:
        """threads: where blocking work runs, as many as there are cores. reader: OCR for burned-in text.
        given: Action Units from files, instead of the service."""
        self._services = services
        self._keys = keys
        self._settings = settings
        self._rules = rules
        self._lexicon = lexicon
        self._out = out
        self._reader = reader
        self._given = given
        self.absent: frozenset[str] = frozenset()  # services that are not asked now; may change between clips
        self._memory = memory
        self._threads = threads

    async def annotate(self, clip: Clip) -> Outcome | Paused:
        """Takes a clip to its outcome and writes it into the ledger, or as far as the services go that are not absent.
        Raises only what cancels the run."""
        key = self._keys.of(clip)
        started = time.monotonic()
        payload, retry = b"", False
        attempts = await self._memory.before(clip, key) + 1
        try:
            record, outcome, reason = await self._stages(clip)
            payload = RECORDS.dump_json(record)
        except Pause as pause:
            return Paused(pause.services)
        except _Stop as stop:
            outcome, reason = stop.outcome, stop.reason
        except RunStopped:
            raise
        except MerrflowError as error:
            outcome, reason, retry = Outcome.FAILED, str(error), error.retryable
            if error.reason == TooLarge.reason:
                key = self._keys.refused(key)
        except OSError as error:
            outcome, reason, retry = Outcome.FAILED, f"{error.strerror or error}: {error.filename}", True
        except Exception as error:
            log.exception("clip %s", clip.name)
            outcome, reason = Outcome.FAILED, f"a fault in merrflow: {type(error).__name__}: {error}"
            retry = attempts < MAX_ATTEMPTS or isinstance(error, MemoryError | SQLAlchemyError)
        seconds = round(time.monotonic() - started, 3)
        row = StageRow(outcome, reason, payload, seconds, attempts, retry)
        await self._memory.finish(clip, key, row)
        return outcome

    async def _stages(self, clip: Clip) -> tuple[Record, Outcome, str]:
        work = _Progress(clip)
        if not clip.sha256:
            raise _Stop(Outcome.FAILED, "the file does not exist or cannot be read")
        facts = (await self._probe(work)).value
        seen = await self._face(work, facts)
        found = self._label(clip, seen, Given(clip.label, "table") if clip.label else None)
        if "minigpt-v2" not in self.absent:  # else it is read when nothing is missing any more
            await self._frame(work, facts, seen.peak)
        said, scene, tone = await all_or_none(
            self._subtitle(work, facts), self._scene(work, facts, seen.peak), self._tone(work, facts)
        )
        clues = Clues.of(seen.peak, scene, tone, said, clip.name, self._lexicon)
        if self._settings.labels_from == "model" and found.source == "rules" and not self._is_neutral(found):
            scores = await self._scores(work, clues)
            # without a clue that the model can use, the rules' label stays
            found = self._label(clip, seen, Given.likeliest(scores["all"]) if "all" in scores else None)
            reasoning, outcome, reason = await self._reason(work, clues, found)
        else:
            scores, (reasoning, outcome, reason) = await all_or_none(
                self._scores(work, clues), self._reason(work, clues, found)
            )
        await self._frame(work, facts, seen.peak)
        record = Record(
            name=clip.name,
            path=path_text(clip.path),
            sha256=clip.sha256,
            probe=facts,
            subject=seen.person,
            peak=seen.peak,
            label=found,
            subtitle=said,
            scene=scene,
            tone=tone,
            coarse=coarse.caption(found, scene, tone, said),
            coarse_template=coarse.load_template().version,
            reasoning=reasoning,
            origins=work.origins,
            seconds=work.seconds,
            missing=work.missing,
            curves=seen.curves,
            measurable=seen.measurable,
            grounding=grounding.ground(tone),
            distribution=scores,
        )
        return record, outcome, reason

    async def _probe(self, work: _Progress) -> Known[Probe]:
        async def compute() -> Reply:
            return Reply((await self._decoded(work)).probe, None)

        limits = [self._settings.max_clip_seconds, self._settings.max_pixels]
        return await self._remember(work, "probe", [probe.VERSION, *limits], Probe, compute)

    async def _decoded(self, work: _Progress) -> probe.Decoded:
        """The clip, decoded at most once, and only when some stage needs more than the ledger has."""
        if work.decoded is None:
            work.decoded = asyncio.ensure_future(
                self._blocking(
                    lambda: probe.decode(
                        work.clip.path,
                        max_seconds=self._settings.max_clip_seconds,
                        max_pixels=self._settings.max_pixels,
                        with_text=not work.clip.sentence,
                    )
                )
            )
        return await work.decoded

    async def _frame(self, work: _Progress, facts: Probe, top: Peak) -> peak_frame.PeakFrame:
        """The peak frame, read at most once, and written beside the records."""
        if work.frame is None:
            work.frame = await self._blocking(peak_frame.read_peak_frame, work.clip.path, facts, top)
            with writing_outputs(self._out):
                await self._blocking(whole_bytes, self._out / "peaks" / f"{work.clip.name}.jpg", work.frame.image)
        return work.frame

    async def _face(self, work: _Progress, facts: Probe) -> _Seen:
        if isinstance(self._given, GivenPeaks):
            top, work.origins["action_units"] = self._given.peak(work.clip, facts)
            return _Seen(Subject((), 0, 0.0, top.reason), top, Curves((), (), {}), self._given.measurable)
        series = (await self._action_units(work, facts)).value
        person = _go_on(subject.choose(series, facts.shots, facts.voice_energy))
        top = _go_on(peak.find(series, person, self._rules.peak, facts.shots))
        return _Seen(person, top, curves_of(series, person), series.measurable)

    async def _action_units(self, work: _Progress, facts: Probe) -> Known[ActionUnitSeries]:
        clip = work.clip

        async def compute() -> Reply:
            if self._given:
                return Reply(*await self._blocking(self._given.read, clip, facts))
            return await self._services.action_units(clip.name, clip.path)

        service = OWN_WORK if self._given else "openface-au"
        return await self._remember(work, "action_units", self._keys.units_of(clip), ActionUnitSeries, compute, service)

    def _label(self, clip: Clip, seen: _Seen, given: Given | None) -> Label:
        """The label; a neutral clip that no one labelled so goes on only if it is drawn into the sample."""
        found = label.decide(seen.peak, clip.name, self._rules, seen.measurable, given, self._lexicon)
        share = self._settings.neutral_sample
        drawn = fraction("neutral", self._settings.seed, clip.sha256) < share
        if self._is_neutral(found) and found.source != "table" and not drawn:
            raise _Stop(Outcome.SKIPPED, f"{found.reason}; not in the neutral sample of {share:.0%}")
        return found

    def _is_neutral(self, found: Label) -> bool:
        return found.label == self._rules.neutral.label

    async def _subtitle(self, work: _Progress, facts: Probe) -> Subtitle:
        clip = work.clip

        async def compute() -> Reply:
            samples = () if clip.sentence else (await self._decoded(work)).text_samples
            with_reader = lambda: subtitle.find_subtitle(clip, facts.seconds, samples, self._reader)  # noqa: E731
            return Reply(await self._blocking(with_reader), None)

        key = [subtitle.VERSION, clip.sentence, sidecar_stamp(clip.path), self._reader.identity]
        known = await self._remember(work, "subtitle", key, Subtitle, compute)
        if known.value.text is None:
            work.missing["subtitle"] = known.value.reason
        return known.value

    async def _scene(self, work: _Progress, facts: Probe, top: Peak) -> Scene | None:
        async def compute() -> Reply:
            frame = await self._frame(work, facts, top)
            return await self._services.scene(work.clip.name, frame.image, frame.context)

        key = [top.index, self._keys.identities["minigpt-v2"]]
        return await self._clue(work, "scene", key, Scene, compute, "minigpt-v2")

    async def _tone(self, work: _Progress, facts: Probe) -> Tone | None:
        if not facts.audio_seconds:
            empty = facts.audio_seconds == 0
            work.missing["tone"] = f"the file has {'an empty' if empty else 'no'} sound track"
            return None

        async def compute() -> Reply:
            wav = await self._blocking(encode_wav, (await self._decoded(work)).audio)
            return await self._services.tone(work.clip.name, wav)

        return await self._clue(work, "tone", self._keys.identities["qwen-audio"], Tone, compute, "qwen-audio")

    async def _scores(self, work: _Progress, clues: Clues) -> dict[str, dict[str, float]]:
        """How likely the model finds each label, given all clues and given each modality alone."""

        async def one(view: str, part: Clues) -> LabelScores | None:
            key = [part, self._rules.labels, self._keys.scorer]
            compute = lambda: self._services.score(work.clip.name, part, self._rules.labels)  # noqa: E731
            return await self._clue(work, f"score_{view}", key, LabelScores, compute, "llama3")

        wanted = clues.views(self._settings.label_scores)
        found = await all_or_none(*(one(view, part) for view, part in wanted.items()))
        return {view: dict(scores.probability) for view, scores in zip(wanted, found, strict=True) if scores}

    async def _reason(self, work: _Progress, clues: Clues, found: Label) -> tuple[Reasoning | None, Outcome, str]:
        asked = clues.labelled(found)
        seed = int(fingerprint(self._settings.seed, work.clip.sha256)[:8], 16)
        try:
            known = await self._remember(
                work,
                "reasoning",
                [asked, found.label, seed, self._keys.reasoner],
                Reasoning,
                lambda: self._services.reason(work.clip.name, asked, found.label, seed),
                "llama3",
            )
        except MerrflowError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            work.missing["reasoning"] = str(error)
            return None, Outcome.FAILED, f"no fine-grained text: {error}"
        if known.outcome is not Outcome.DONE:
            work.missing["reasoning"] = known.reason
        return known.value, known.outcome, known.reason

    async def _clue(
        self,
        work: _Progress,
        stage: str,
        key: Any,
        kind: type,
        compute: Callable[[], Awaitable[Reply]],
        service: str,
    ) -> Any:
        """A clue that a record can be without: what a service calls bad input is noted, not fatal."""
        try:
            known = await self._remember(work, stage, key, kind, compute, service)
        except MerrflowError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            work.missing[stage] = str(error)
            return None
        if known.outcome is not Outcome.DONE:
            work.missing[stage] = known.reason
        return known.value

    async def _remember(
        self,
        work: _Progress,
        stage: str,
        key: Any,
        kind: type,
        compute: Callable[[], Awaitable[Reply]],
        service: str = OWN_WORK,
    ) -> Known[Any]:
        """A stage's result from the ledger, or from `service`. Raises `Pause` where that is absent."""

        async def pause() -> Reply:
            raise Pause(frozenset({service}))

        known = await self._memory.remember(work.clip, stage, key, kind, pause if service in self.absent else compute)
        work.seconds[stage] = known.seconds
        if known.origin:
            work.origins[stage] = known.origin
        return known

    async def _blocking(self, function: Callable[..., Value], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def curves_of(series: ActionUnitSeries, person: Subject) -> Curves:
    """The subject's Action Units over time."""
    faces = [(series.frames[frame], series.frames[frame].faces[face]) for frame, face in person.faces]
    units = sorted({unit for _, face in faces for unit in face.intensity})
    return Curves(
        timestamps=tuple(frame.timestamp for frame, _ in faces),
        frames=tuple(frame.index for frame, _ in faces),
        intensity={unit: tuple(face.intensity.get(unit, 0.0) for _, face in faces) for unit in units},
    )


def _go_on(result: Any) -> Any:
    if isinstance(result, Skip):
        raise _Stop(Outcome.SKIPPED, result.reason)
    return result
