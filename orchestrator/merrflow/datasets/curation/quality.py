"""Clips too poor to learn from: small, unsure or blurred faces, voices in noise."""

from __future__ import annotations

from collections.abc import Iterator

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import Amount, FilterRules, Share


class QualityRules(FilterRules):
    face_pixels: Amount | None
    face_share: Share | None
    face_confidence: Share | None
    signal_to_noise: float | None
    subject_margin: Share | None
    sharpness: Amount | None
    fine_text: bool


class Quality(ClipFilter[QualityRules]):
    """Drops a clip if any measure that is known falls short; the reason names all that do."""

    name = "quality"
    about = "small or unsure faces, voices in noise; on request blur, an unclear subject, no fine-grained text"
    rules_type = QualityRules

    @property
    def needs_sharpness(self) -> bool:
        return self.rules.sharpness is not None

    def knows(self, clip: Candidate) -> bool:
        asked = [value for _, value, limit, _ in self._measures(clip) if limit is not None]
        return self.rules.fine_text or not asked or any(value is not None for value in asked)

    def reason(self, clip: Candidate) -> str | None:
        faults = [
            f"{what} is {value:g}{unit}, below {limit:g}"
            for what, value, limit, unit in self._measures(clip)
            if value is not None and limit is not None and value < limit
        ]
        if self.rules.fine_text and not clip.fine_text:
            faults.append("it has no fine-grained description")
        return "; ".join(faults) or None

    def _measures(self, clip: Candidate) -> Iterator[tuple[str, float | None, float | None, str]]:
        """What, the clip's value, the limit, the unit."""
        share = clip.face_pixels / clip.height if clip.face_pixels is not None and clip.height else None
        rules = self.rules
        yield "the height of the face", clip.face_pixels, rules.face_pixels, " pixels"
        yield "the face's share of the picture's height", share, rules.face_share, ""
        yield "the confidence in the face", clip.face_confidence, rules.face_confidence, ""
        yield "the voice over the noise", clip.signal_to_noise, rules.signal_to_noise, " dB"
        yield "the subject's margin over other persons", clip.subject_margin, rules.subject_margin, ""
        yield "the sharpness of the face", clip.sharpness, rules.sharpness, ""
