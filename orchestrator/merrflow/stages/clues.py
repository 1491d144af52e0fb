"""The clues of a clip as they are put before the reasoning model: all together, or one modality alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from merrflow.core.records import Label, Peak, Scene, Subtitle, Tone
from merrflow.facs import Lexicon, expressive


@dataclass(frozen=True)
class Clues:
    """Plain text; empty where a clue is missing."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""

    @classmethod
    def of(
        cls, peak: Peak, scene: Scene | None, tone: Tone | None, said: Subtitle, clip: str, lexicon: Lexicon
    ) -> Clues:
        """Clues that do not depend on the label: the expressions are of all expressive units at the peak."""
        units = [code for code in peak.action_units if expressive(code) and code in lexicon.phrases]
        return cls(
            scene=scene.text if scene else "",
            expressions=lexicon.draw_all(clip, units),
            tone=tone.text if tone else "",
            subtitle=said.text or "",
        )

    def labelled(self, found: Label) -> Clues:
        """The same with the expressions that the label rests on, as MERR's prompt has them."""
        return replace(self, expressions=found.expressions)

    def views(self, wanted: str) -> dict[str, Clues]:
        """What to weigh labels by. wanted: "none", "all" (one view of all clues), or "modalities" (each alone too)."""
        if wanted == "none":
            return {}
        alone = {
            "face": Clues(expressions=self.expressions),
            "voice": Clues(tone=self.tone),
            "words": Clues(subtitle=self.subtitle),
        }
        views = {"all": self} | (alone if wanted == "modalities" else {})
        return {name: view for name, view in views.items() if view != Clues()}
