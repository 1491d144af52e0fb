"""Which of the recognised segments are believed, by `data/recognition.yaml`."""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from merrflow_serving.errors import NotReady, first_fault
from merrflow_serving.prompt_files import Strict
from merrflow_whisper.types import Segment, Transcript

STRETCH = 480  # characters: what is said in 30 s, for which Whisper's threshold is


class Decode(Strict):
    """How text is searched for; names as in `recognition.yaml`."""

    beam_size: int = Field(ge=1, le=20)
    temperatures: tuple[float, ...] = Field(min_length=1)
    compression_ratio: float
    log_probability: float
    tokens_per_second: float = Field(gt=0)
    tokens_more: int = Field(ge=0)

    def most_tokens(self, seconds: float) -> int:
        """The longest text of a recording. A window of Whisper's is 30 s and has 448 tokens, its prompt included."""
        return min(200, int(self.tokens_per_second * min(seconds, 30.0)) + self.tokens_more)


class Language(Strict):
    """What is done for one language."""

    prompt: str = ""
    convert: str = ""  # configuration of OpenCC, such as `t2s`


class Reject(Strict):
    """Thresholds of what is not believed."""

    language_probability: float
    log_probability: float
    no_speech: float
    no_speech_log_probability: float
    echo: float = Field(gt=0, le=1)
    repetition: float = Field(2.4, gt=1)
    invented: tuple[str, ...] = ()


class Rules(Strict):
    """The file. `digest` is the hash of its bytes, which is part of the engine's identity."""

    version: int
    decode: Decode
    languages: Mapping[str, Language] = {}
    reject: Reject
    digest: str = ""

    @property
    def stamp(self) -> str:
        """Version and digest, for the engine's identity."""
        return f"{self.version}.{self.digest}"

    def language(self, code: str) -> Language:
        return self.languages.get(code, Language())

    def transcript(
        self, segments: Sequence[Segment], language: str, probability: float, *, given: bool = False
    ) -> Transcript:
        """The believed segments together. given: the language was not guessed by the model."""
        judged = tuple(
            replace(segment, rejected=self._why_not(segment, language, probability, given)) for segment in segments
        )
        text = " ".join(segment.text.strip() for segment in judged if not segment.rejected).strip()
        reason = ""
        if not text:
            reason = judged[0].rejected if judged else "nobody speaks"
        return Transcript(text, judged, language, 1.0 if given and language else probability, reason)

    def _why_not(self, segment: Segment, language: str, probability: float, given: bool) -> str:
        reject = self.reject
        log_probability = math.log(max(segment.confidence, 1e-9))
        if not given and probability < reject.language_probability:
            return f"the language is not certain ({language} at {probability:.2f})"
        if log_probability < reject.log_probability:
            return f"the words are not certain (average log probability {log_probability:.2f})"
        if (segment.no_speech or 0.0) > reject.no_speech and log_probability < reject.no_speech_log_probability:
            return f"probably nobody speaks ({segment.no_speech:.2f})"
        words = _plain(segment.text)
        if not words:
            return "no words"
        if any(_plain(phrase) in words for phrase in reject.invented):
            return "words that the model is known to invent over silence or music"
        if _repetition(words) > reject.repetition:
            return "words that repeat themselves without end"
        prompt = _plain(self.language(language).prompt)
        if prompt and _share(prompt, words) >= reject.echo:
            return "an echo of the prompt"
        return ""


def load_rules(path: str = "") -> Rules:
    """The rules of a file, or the packaged ones. Raises `NotReady` with the file and field at fault."""
    source = Path(path).expanduser() if path else files(__package__) / "data" / "recognition.yaml"
    try:
        content = source.read_bytes()
        document = yaml.safe_load(content)
        return Rules.model_validate({**document, "digest": sha256(content).hexdigest()[:12]})
    except (OSError, UnicodeDecodeError, TypeError, yaml.YAMLError) as error:
        raise NotReady(f"{path}: cannot be read as YAML: {error}", reason="RULES_INVALID") from error
    except ValidationError as error:
        raise NotReady(f"{path}: {first_fault(error)}", reason="RULES_INVALID") from error


def _plain(text: str) -> str:
    """Lower case, and one space for everything that is neither letter nor number."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def _repetition(text: str) -> float:
    """The highest compression ratio of its stretches, because that of a whole grows with its length. 0 for a short
    text, which may well be a laugh."""
    stretches = [text[start : start + STRETCH].encode() for start in range(0, len(text), STRETCH)]
    return max((len(one) / len(zlib.compress(one)) for one in stretches if len(one) >= STRETCH // 4), default=0.0)


def _share(wanted: str, text: str) -> float:
    """The share of `wanted` that `text` repeats in order."""
    blocks = SequenceMatcher(None, wanted, text, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(wanted)
