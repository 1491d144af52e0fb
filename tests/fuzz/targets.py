"""What a file is read by, and what must hold of every answer: a right value, or an error that is a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
from pydantic import TypeAdapter

from merrflow.core.datafile import DataFileError
from merrflow.core.errors import InputError
from merrflow.core.inputs import assign_names
from merrflow.core.measurements import Clip, Peak, Probe, Shot
from merrflow.core.paths import path_text, safe_name, text_path
from merrflow.core.settings_file import load_settings
from merrflow.facs import load_rules
from merrflow.facs.lexicon import load_lexicon
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_annotations, read_labels, read_sentences
from merrflow.formats.openface_csv import read_openface
from merrflow.stages import peak_frame, probe, subtitle
from merrflow_serving.errors import MerrflowError
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.ocr import Box, TextLine

SECONDS, PIXELS = 30.0, 1_000_000
LONGEST_MESSAGE = 20_000  # characters; a rule file's faults are told line by line
FACTS = Probe(640, 360, 25.0, 12, 0.48, (Shot(0, 12),), None)
SUFFIXES = {"film": ".mp4", "sound": ".wav", "image": ".jpg", "srt": ".srt", "vtt": ".vtt", "openface": ".csv"}
SUFFIXES |= {"ass": ".ass", "lrc": ".lrc"}
SUFFIXES |= {"table": ".csv", "labels_txt": ".txt", "labels_csv": ".csv", "merr_json": ".json"}
SUFFIXES |= {"rules": ".yaml", "lexicon": ".yaml", "settings": ".yaml"}
_PROBES = TypeAdapter(Probe)


class _Reader:
    """Reads a line in the middle of every picture, wherever a real one would find none."""

    def detect(self, image: np.ndarray) -> tuple[Box, ...]:
        """One box."""
        height, width = image.shape[:2]
        return ((width / 5, height / 3, width * 3 / 5, height / 3),)

    def recognise(self, image: np.ndarray) -> TextLine | None:
        """Always the same."""
        return TextLine("Go away", 0.9, (0, 0, image.shape[1], image.shape[0]))


class Broken(AssertionError):
    """An answer that should not be."""


def _film(path: Path) -> None:
    decoded = probe.decode(path, max_seconds=SECONDS, max_pixels=PIXELS)
    found = decoded.probe
    numbers = (found.fps, found.seconds, found.audio_seconds or 0.0, *found.voice_energy)
    if not all(math.isfinite(number) for number in numbers) or found.fps <= 0 or found.seconds < 0:
        raise Broken(f"impossible facts: {found}")
    if found.width * found.height > PIXELS or found.seconds > SECONDS or found.frame_count < 1:
        raise Broken(f"beyond the limits: {found}")
    if [shot.start for shot in found.shots] + [found.frame_count] != [0, *(shot.end for shot in found.shots)]:
        raise Broken(f"the shots do not cover the clip: {found.shots}")
    if _PROBES.validate_json(_PROBES.dump_json(found)) != found:
        raise Broken("the ledger cannot give back what it took")
    clip = Clip("clip", path, "0" * 64)
    _sentence(subtitle.find_subtitle(clip, found.seconds, decoded.text_samples, _Reader()).reason)
    at = found.frame_count // 2
    frame = peak_frame.read_peak_frame(path, found, Peak(at, 0.0, (), {}, (), 0.0, ""))
    if not decode_image(frame.image).size:
        raise Broken("the peak frame is empty")


def _sound(path: Path) -> None:
    samples = decode_audio(path, max_seconds=SECONDS)
    if samples.ndim != 1 or samples.size > (SECONDS + 1) * 16_000 or not (abs(samples) <= 1).all():
        raise Broken(f"impossible sound: {samples.shape}")


def _image(path: Path) -> None:
    image = decode_image(path, max_pixels=PIXELS)
    if image.ndim != 3 or not 0 < image.shape[0] * image.shape[1] <= PIXELS:
        raise Broken(f"impossible picture: {image.shape}")


def _subtitle(path: Path) -> None:
    clip = Clip("clip", path.with_suffix(".mp4"), "0" * 64)
    found = subtitle.find_subtitle(clip, 0.5, (), None)
    _sentence(found.reason)
    if found.text is not None and ("\n" in found.text or not found.text.strip()):
        raise Broken(f"not one line of text: {found.text!r}")


def _table(path: Path) -> None:
    found = find_clips([path])
    names = assign_names(found, {})
    if len({name.casefold() for name in names.values()}) != len({clip.path for clip in found}):
        raise Broken(f"two clips of one name: {sorted(names.values())}")
    for place, name in names.items():
        if name != safe_name(name) or name.startswith(".") or {*name} & {*"/\\ "} or len(name.encode()) > 255:
            raise Broken(f"no name for a file: {name!r}")
        if text_path(path_text(place)) != place:
            raise Broken(f"the ledger cannot give back the path {place}")
    for clip in found:
        for text in (clip.name, clip.sentence, clip.label):
            if text is not None and text != text.strip():
                raise Broken(f"blanks around {text!r}")


def _annotations(path: Path) -> None:
    """As evaluation reads them, and as runs read labels and transcripts."""
    refused = []
    for reader in (read_sentences, lambda file: read_labels(file, load_rules().normal)):
        try:
            for name, text in reader(path).items():
                (name + text).encode()
                if not text.strip() or not name.strip():
                    raise Broken(f"a blank for {name!r}: {text!r}")
        except InputError as error:
            refused.append(error)
    for one in read_annotations(path).values():
        "".join(text or "" for text in (one.name, one.label, one.sentence, one.tone, one.coarse, one.fine)).encode()
        if one.units is not None and len(one.units) != len(one.phrases or ()):
            raise Broken(f"not a phrase for each Action Unit: {one}")
    for error in refused:
        _sentence(str(error))


def _settings(path: Path) -> None:
    settings = load_settings(path)
    for name, value in settings:
        if isinstance(value, float) and not math.isfinite(value):
            raise Broken(f"{name} is {value}")
        str(value).encode()  # as logs and the run's fingerprint write it
        if "\0" in str(value):
            raise Broken(f"{name} holds a zero byte")


READERS: dict[str, Callable[[Path], object]] = {
    "film": _film,
    "sound": _sound,
    "image": _image,
    "srt": _subtitle,
    "vtt": _subtitle,
    "ass": _subtitle,
    "lrc": _subtitle,
    "openface": lambda path: read_openface(path, probe=FACTS).series,
    "table": _table,
    "labels_txt": _annotations,
    "labels_csv": _annotations,
    "merr_json": _annotations,
    "rules": load_rules,
    "lexicon": load_lexicon,
    "settings": _settings,
}


def run(kind: str, path: Path) -> str:
    """Reads one file; "" or the error's first words. Raises what must never be raised."""
    try:
        READERS[kind](path)
    except (InputError, DataFileError) as error:
        return _sentence(str(error))
    except MerrflowError as error:
        if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return _sentence(str(error))
    return ""


def _sentence(text: str) -> str:
    if not text.strip() or len(text) > LONGEST_MESSAGE:
        raise Broken(f"no message to act on ({len(text)} characters): {text[:200]!r}")
    text.encode()  # what is no Unicode cannot be stored
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in text):
        raise Broken(f"control characters in a message: {text[:200]!r}")
    return text[:100]
