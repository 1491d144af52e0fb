"""What flows between the stages: frozen dataclasses, and nothing grows fields on its way.

Every type here is what one stage returns and the ledger stores. Units are in the field comments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from merrflow.core.spoken import Subtitle, Transcript, Translation
from merrflow.core.usage import Usage


class Outcome(StrEnum):
    """How a stage, and in the end a clip, came out. Filtered is not failed."""

    DONE = "done"
    SKIPPED = "skipped"  # by a rule, with its reason: nobody talks, no expression, ...
    FAILED = "failed"  # could not be worked on, with the error
    REFUSED = "refused"  # the model declined
    TRUNCATED = "truncated"  # the model's answer was cut
    REJECTED = "rejected"  # no answer of the model passed the checks
    NO_GROUND = "no_ground"  # no clue speaks for the label, so that no fine-grained text was written


@dataclass(frozen=True)
class FileState:
    """What changes if a file is replaced or written to."""

    size: int  # bytes
    mtime_ns: int
    inode: int | None = None  # None: not known, as of files that another process registered
    ctime_ns: int | None = None  # the same; it changes with each renaming

    def is_like(self, other: FileState) -> bool:
        """Whether size and time are the same, which is all that the ledger keeps."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


@dataclass(frozen=True)
class Clip:
    """One input file. `name` is unique in a run and safe as a file name and in MERR's files."""

    name: str
    path: Path
    sha256: str  # of the file's bytes; "" if it could not be read when it was registered
    sentence: str | None = None  # subtitle given in a table
    label: str | None = None  # label given in a table
    file: FileState | None = None  # when it was registered; None if it could not be read then


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts: `start` inclusive, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True)
class PerceptualHashes:
    """Hashes that differ in few bits if what is seen or heard is alike; curation finds duplicates by them."""

    frames: tuple[str, ...]  # perceptual hashes in hex, of frames spaced evenly through the clip
    sound: tuple[str, ...]  # hashes in hex, of pieces of the sound in order; empty without a sound track


@dataclass(frozen=True)
class Probe:
    """What decoding alone says about a clip."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    frame_count: int
    seconds: float  # of video
    shots: tuple[Shot, ...]
    audio_seconds: float | None  # None: the file has no sound track
    voice_energy: tuple[float, ...] = ()  # dBFS in the band of speech, one for each 40 ms; see stages/voice.py
    likeness: PerceptualHashes | None = None
    damaged_packets: int = 0  # that could not be decoded; the frames in them are missing
    damaged_frames: int = 0  # kept, though the decoder had to make up a part of the picture
    adjusted: bool = False  # a track was chosen, pictures turned, stretched or tone-mapped, times mended, or damage met
    sound: str = ""  # what was unusual about the sound: which of several tracks, its mix, its clock; empty for nothing


@dataclass(frozen=True)
class Face:
    """One face in one frame, as the Action Unit service measured it."""

    box: tuple[float, float, float, float]  # x, y, width, height in pixels
    confidence: float  # 0 to 1
    pitch: float  # degrees, positive: chin up
    yaw: float  # degrees, positive: to the right side of the picture
    roll: float  # degrees, positive: clockwise for the viewer
    intensity: Mapping[str, float]  # "AU06" -> 0 to 5; AUs without an intensity are not in it
    present: frozenset[str]  # AUs that are present
    mouth_opening: float | None = None  # gap between the inner lips over the mouth's width
    second_pass: bool = False
    expression: Mapping[str, float] = field(default_factory=dict)  # an expression network's shares by class; or none
    embedding: tuple[float, ...] = ()  # 128 numbers that tell persons apart within a clip; empty if not computed


@dataclass(frozen=True)
class FaceFrame:
    """The faces of one frame, largest first."""

    index: int  # from 0, in order of display
    timestamp: float  # seconds from the first frame
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class ActionUnitSeries:
    """The Action Units of a whole clip."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    measurable: tuple[str, ...]  # AUs the engine can measure
    frames: tuple[FaceFrame, ...]


@dataclass(frozen=True)
class Subject:
    """The one person a record is about, followed through the clip."""

    faces: tuple[tuple[int, int], ...]  # (frame index, index into that frame's faces), ascending
    persons: int  # how many persons were followed
    margin: float  # score of the chosen over the next, 0 to 1; 1 if there is only one
    reason: str  # "largest face, in view for 38 of 52 frames"


@dataclass(frozen=True)
class Peak:
    """The peak frame: where the most frequent Action Units sum to the most."""

    index: int  # frame number from 0
    timestamp: float  # seconds
    action_units: tuple[str, ...]  # all AUs present at the peak, ascending
    intensity: Mapping[str, float]  # of the AUs present at the peak
    frequent: tuple[str, ...]  # the clip's most frequent AUs, whose sum was maximised
    total: float  # that sum at the peak
    reason: str
    confidence: float | None = None  # of the subject's face at the peak, 0 to 1
    box: tuple[float, float, float, float] | None = None  # of that face: x, y, width, height in pixels


@dataclass(frozen=True)
class ShownFrame:
    """The frame that the picture shows, if it is not the peak frame."""

    index: int  # frame number from 0
    timestamp: float  # seconds
    box: tuple[float, float, float, float]  # of the subject's face in it: x, y, width, height in pixels
    reason: str  # why it is shown instead


@dataclass(frozen=True)
class Label:
    """The pseudo-label and what supports it."""

    label: str
    source: str  # "rules", "table", "model"
    action_units: tuple[str, ...]  # MERR's AU_list: the label's AUs that are present at the peak
    expressions: tuple[str, ...]  # one phrase for each of action_units
    rules: str  # name and version of the rule set
    reason: str  # "surprise: AU05, AU26 of AU01 AU02 AU05 AU26"
    ruled: str = ""  # what the rules alone say, also if the label was given
    supported: bool | None = None  # whether the peak meets the label's own rule; None if that cannot be judged
    scores: Mapping[str, float] = field(default_factory=dict)  # the rules' evidence by label, in the rule set's scale
    standing: Standing | None = None  # how far the witnesses bear the label out; None in records of older versions


class Verdict(StrEnum):
    """How a label comes out once all witnesses are heard."""

    CONFIRMED = "confirmed"
    UNDETERMINED = "undetermined"  # too little speaks for it or against it
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Vote:
    """What one witness says of the label."""

    witness: str  # "units", "expression", "words", "voice", "scores", "given"
    vote: str  # "for", "against", "abstains"
    label: str  # what the witness itself finds; "" if it finds none
    weight: float  # of this vote, from the file of witnesses; 0 if it abstains
    reason: str  # "happy at a mean share of 0.71, at least 0.50 confirms"


@dataclass(frozen=True)
class Standing:
    """The verdict on a label, with each witness's vote."""

    verdict: Verdict
    votes: tuple[Vote, ...]
    reason: str
    rules: str  # name and version of the file of witnesses


@dataclass(frozen=True)
class Origin:
    """Which engine wrote a clue, and what it cost. Mirrors merrflow.common.v1.EngineInfo and Timing."""

    engine: str
    model: str
    revision: str
    prompt_version: str
    note: str
    queue_seconds: float
    model_seconds: float
    usage: Usage | None = None  # at an endpoint elsewhere; None if the engine computes in its service
    method: str = ""  # how labels were scored: "likelihood" or "choice"; empty for all else


@dataclass(frozen=True)
class Scene:
    """What the peak frame shows."""

    text: str
    measurements: Mapping[str, tuple[float, str]]  # name -> (value, unit)
    on_screen_text: tuple[str, ...]


@dataclass(frozen=True)
class Tone:
    """How the voice sounds."""

    text: str
    content: str  # "speech", "no_speech", "music", "silence", "no_track"
    measurements: Mapping[str, tuple[float, str]]  # name -> (value, unit)
    speech: tuple[tuple[float, float], ...]  # seconds: start, end


@dataclass(frozen=True)
class Claim:
    """One thing that a tone sentence says of the voice, compared with what was measured (stages/grounding.py)."""

    words: str  # as they are in the sentence: "high-pitched"
    quality: str  # what they claim, a name of grounding.yaml: "high pitch"
    verdict: str  # "supported", "contradicted", "undecided" (measured, between the two), "unmeasured"
    reason: str  # "pitch_median 118 Hz, at least 165 for high pitch"


@dataclass(frozen=True)
class Clues:
    """The clues of a clip as the reasoning model is given them: plain text, empty if a clue is missing."""

    scene: str = ""
    expressions: tuple[str, ...] = ()
    tone: str = ""
    subtitle: str = ""
    translation: str = ""  # of the subtitle, into English
    other_expressions: tuple[str, ...] = ()  # measured too, but not what the label rests on

    def for_key(self) -> dict[str, object]:
        """What a result depends on. Without what was added later it is what it was before that."""
        later = ("translation", "other_expressions")
        return {name: value for name, value in asdict(self).items() if value or name not in later}

    def labelled(self, found: Label) -> Clues:
        """The same with the expressions that the label rests on, as MERR's prompt has them, and the others apart."""
        others = tuple(phrase for phrase in self.expressions if phrase not in found.expressions)
        return replace(self, expressions=found.expressions, other_expressions=others)

    def views(self, wanted: str) -> dict[str, Clues]:
        """What to weigh labels by. wanted: "none", "all" (one view of all clues), or "modalities" (each alone too)."""
        if wanted == "none":
            return {}
        alone = {
            "face": Clues(expressions=self.expressions),
            "voice": Clues(tone=self.tone),
            "words": Clues(subtitle=self.subtitle, translation=self.translation),
        }
        views = {"all": self} | (alone if wanted == "modalities" else {})
        return {name: view for name, view in views.items() if view != Clues()}


@dataclass(frozen=True)
class LabelScores:
    """How likely the reasoning model finds each label, given some of the clues."""

    probability: Mapping[str, float]  # label -> share, 1 in all


@dataclass(frozen=True)
class Reasoning:
    """The fine-grained text."""

    text: str
    seed: int
    prompt_tokens: int
    answer_tokens: int
    attempts: int = 1  # answers generated until one passed the service's checks


@dataclass(frozen=True)
class Curves:
    """The subject's Action Units over time, for pictures."""

    timestamps: tuple[float, ...]  # seconds, one for each frame in which the subject is seen
    frames: tuple[int, ...]  # the same frames' numbers
    intensity: Mapping[str, tuple[float, ...]]  # "AU06" -> 0 to 5, one for each frame


@dataclass(frozen=True)
class Testimony:
    """What a second engine (a witness) answered to what the main engine was asked, and how far the two agree."""

    witness: str  # its name in the run: "qwen-audio.openai"
    engine: str  # as are the next: what is known of it; "" if it never answered
    model: str
    origin: Origin | None  # None without an answer
    answer: Mapping[str, Any]  # the stage's result as JSON; of Action Units, those at the peak. Empty without an answer
    outcome: Outcome
    reason: str = ""  # why there is no whole answer
    again: bool = False  # the next run asks it again
    agreement: Mapping[str, float] = field(default_factory=dict)  # measure -> 0 to 1 (r: -1 to 1); the first decides
    unmeasured: str = ""  # why there is no agreement


@dataclass(frozen=True)
class Record:
    """All that is known of one clip at the end: every clue, who wrote it, and what is missing and why."""

    name: str
    path: str
    sha256: str
    probe: Probe
    subject: Subject
    peak: Peak
    label: Label
    subtitle: Subtitle
    scene: Scene | None
    tone: Tone | None
    coarse: str  # the coarse-grained description
    coarse_template: str  # name and version of its template
    reasoning: Reasoning | None  # the fine-grained description
    origins: Mapping[str, Origin]  # "action_units", "scene", "tone", "reasoning" -> who wrote it
    seconds: Mapping[str, float]  # stage -> wall seconds
    missing: Mapping[str, str]  # clue -> why the record does not have it
    curves: Curves
    measurable: tuple[str, ...] = ()  # Action Units that the engine can measure; empty if that is not known
    grounding: tuple[Claim, ...] = ()  # what the tone claims against what was measured
    # Clues -> label -> probability. Clues: "all", and each modality alone: "face", "voice", "words".
    distribution: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    transcript: Transcript | None = None  # if no subtitle was found and speech recognition was there
    translation: Translation | None = None  # of the subtitle, if it is not English and the run translates
    shown: ShownFrame | None = None  # what the picture and the scene show; None: the peak frame
    # Stage -> what its second engines answered. Left out where there are none, as in records before there were any.
    witnesses: Annotated[Mapping[str, tuple[Testimony, ...]], Field(exclude_if=lambda found: not found)] = field(
        default_factory=dict
    )

    @property
    def picture_index(self) -> int:
        """The number of the frame that the picture shows, from 0."""
        return self.shown.index if self.shown else self.peak.index

    @property
    def picture_box(self) -> tuple[float, float, float, float] | None:
        """Of the subject's face in the picture: x, y, width, height in pixels; None if it is not known."""
        return self.shown.box if self.shown else self.peak.box

    @property
    def english(self) -> str | None:
        """What is said: translated, or else as it is; None if that is not known."""
        return self.translation.text if self.translation else self.subtitle.text
