"""The clues of a clip, put together for the reasoning model."""

from __future__ import annotations

from dataclasses import replace

from merrflow.core.measurements import Peak
from merrflow.core.spoken import Subtitle, Translation
from merrflow.core.texts import Clues, Scene, Tone
from merrflow.facs import Lexicon, expressive
from merrflow.stages.stage import Stage, Work


def clues_of(peak: Peak, scene: Scene | None, tone: Tone | None, said: Subtitle, clip: str, lexicon: Lexicon) -> Clues:
    """Clues that do not depend on the label: the expressions are of all expressive units at the peak."""
    units = [code for code in peak.action_units if expressive(code) and code in lexicon.phrases]
    return Clues(
        scene=scene.text if scene else "",
        expressions=lexicon.draw_all(clip, units),
        tone=tone.text if tone else "",
        subtitle=said.text or "",
    )


def _clues(work: Work, peak: Peak, scene: Scene | None, tone: Tone | None, said: Subtitle) -> Clues:
    return clues_of(peak, scene, tone, said, work.clip.name, work.run.lexicon)


def _with_translation(
    work: Work, peak: Peak, scene: Scene | None, tone: Tone | None, said: Subtitle, translated: Translation | None
) -> Clues:
    clues = _clues(work, peak, scene, tone, said)
    return replace(clues, translation=translated.text) if translated else clues


STAGE: Stage[Clues] = Stage(
    name="clues",
    purpose="scene, expressions, tone and words, as the reasoning model is given them",
    compute=_clues,
    needs=("peak", "scene", "tone", "words"),
)
WITH_TRANSLATION = replace(STAGE, compute=_with_translation, needs=(*STAGE.needs, "subtitle_en"))
