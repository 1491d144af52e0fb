"""All measurements of one recording, in the order they depend on each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from merrflow_qwen_audio.arrays import Floats, Mask, Samples
from merrflow_qwen_audio.engines.acoustics.frames import (
    HOP,
    SAMPLE_RATE,
    band_pass,
    decibels,
    frame_count,
    frame_power,
    runs,
)
from merrflow_qwen_audio.engines.acoustics.intonation import PitchMeasures, pitch_measures
from merrflow_qwen_audio.engines.acoustics.jitter_shimmer import CycleMeasures, cycle_measures
from merrflow_qwen_audio.engines.acoustics.music import MusicMeasures, music_measures
from merrflow_qwen_audio.engines.acoustics.pitch import track_pitch
from merrflow_qwen_audio.engines.acoustics.spectrum import SpectralMeasures, spectral_measures
from merrflow_qwen_audio.engines.acoustics.speech_rate import PaceMeasures, pace_measures, syllable_nuclei
from merrflow_qwen_audio.types import Content, Measurement, Span

SILENCE_DBFS = -60.0  # loudest 50 ms below this: a listener at a normal playback level hears nothing
LEVEL_WINDOW = 400  # samples: 25 ms
SILENCE_WINDOW = 800  # samples: 50 ms
NOISE_SECONDS = 0.3  # of sound without speech, needed to measure the noise
NOISE_MARGIN = 0.1  # seconds around speech that do not count as noise: reverberation and soft onsets
BEST_SNR = 60.0  # dB: the most that is reported
CLIPPED = 0.999  # of full scale
SPEECH_BAND = (70.0, 7800.0)  # Hz: rumble below the voice is not its loudness
LEAST_CYCLES = 30  # for jitter and shimmer
# Voiced frames this far below the loud ones (95th percentile of speech) are mostly reverberation, hum or music
# between syllables; pitch, harmonicity and spectrum leave them out. On speech mixed with music at 15 dB this brings
# the pitch range from 11.6 back to 8.8 semitones (8.0 without music), and changes clean speech by 0.5 at most.
FAINT = 15.0  # dB
# Sustained tones in the whole recording mean music under the speech, unless the voice itself is held on one tone.
HELD_TONE = 4.5  # semitones of pitch range


@dataclass(frozen=True)
class Analysis:
    """Everything measured in a recording. What could not be measured is None."""

    seconds: float
    level: float  # dBFS, RMS of the whole
    clipped: float  # share of samples at full scale, 0 to 1
    content: Content
    spans: tuple[Span, ...] = ()
    loudness: float | None = None  # dBFS, RMS of speech
    dynamics: float | None = None  # dB between the 10th and 90th percentile of voiced frames' levels
    snr: float | None = None  # dB: speech over the sound beside it
    voiced_share: float | None = None  # of speech frames, 0 to 1
    hnr: float | None = None  # dB, mean of voiced frames
    pitch: PitchMeasures | None = None
    pace: PaceMeasures | None = None
    spectrum: SpectralMeasures | None = None
    cycles: CycleMeasures | None = None
    music: MusicMeasures | None = None  # of the longest part without speech
    music_under: MusicMeasures | None = None  # of the whole, if there is speech

    @property
    def has_music(self) -> bool:
        """True if music was found beside or under the speech, or without speech."""
        if self.music is not None and self.music.is_music:
            return True
        lively = self.pitch is not None and self.pitch.range >= HELD_TONE
        return self.music_under is not None and self.music_under.holds_tones and lively


def analyse(samples: Samples, spans: Sequence[Span]) -> Analysis:
    """Measures (samples,) float32 sound at 16 kHz in which speech was found at `spans`."""
    seconds = samples.size / SAMPLE_RATE
    if samples.size == 0:
        return Analysis(0.0, float(decibels(0.0)), 0.0, Content.SILENCE)
    clipped = float((np.abs(samples) >= CLIPPED).mean())
    sound = samples.astype(np.float64) - float(samples.mean(dtype=np.float64))  # without a constant offset
    level = float(decibels(float(np.mean(sound**2))))
    if decibels(frame_power(sound, SILENCE_WINDOW).max()) < SILENCE_DBFS:
        return Analysis(seconds, level, clipped, Content.SILENCE)

    speech = speech_frames(spans, samples.size)
    music = music_measures(_longest_without_speech(sound, speech))
    if not spans:
        content = Content.MUSIC if music is not None and music.is_music else Content.NO_SPEECH
        return Analysis(seconds, level, clipped, content, music=music)

    voice = band_pass(sound, *SPEECH_BAND)
    power = frame_power(voice, LEVEL_WINDOW)
    track = track_pitch(voice, speech)
    nuclei = syllable_nuclei(voice, track.voiced, speech)
    levels = decibels(power)
    strong = track.voiced & (levels > np.percentile(levels[speech], 95) - FAINT)
    cycles = cycle_measures(voice, track)
    voiced_levels = levels[track.voiced]
    return Analysis(
        seconds=seconds,
        level=level,
        clipped=clipped,
        content=Content.SPEECH,
        spans=tuple(spans),
        loudness=float(decibels(power[speech].mean())),
        dynamics=float(np.subtract(*np.percentile(voiced_levels, [90, 10]))) if voiced_levels.size else None,
        snr=_snr(power, speech),
        voiced_share=float(track.voiced[speech].mean()),
        hnr=_hnr(track.harmonicity[strong]),
        pitch=pitch_measures(track, strong, nuclei, spans[-1].end),
        pace=pace_measures(spans, nuclei),
        spectrum=spectral_measures(voice, strong),
        cycles=cycles if cycles is not None and cycles.cycles >= LEAST_CYCLES else None,
        music=music,
        music_under=music_measures(sound),
    )


def speech_frames(spans: Sequence[Span], samples: int, margin: float = 0.0) -> Mask:
    """(frames,) true if a frame's centre is in a span, or within `margin` seconds of one."""
    centres = (np.arange(frame_count(samples)) * HOP + HOP / 2) / SAMPLE_RATE
    inside = np.zeros(centres.size, bool)
    for span in spans:
        inside |= (centres >= span.start - margin) & (centres < span.end + margin)
    return inside


def _longest_without_speech(sound: Floats, speech: Mask) -> Floats:
    """The longest part without speech; empty if there is none."""
    gaps = runs(~speech)
    if not gaps:
        return sound[:0]
    start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
    return sound[start * HOP : end * HOP]


def _snr(power: Floats, speech: Mask) -> float | None:
    """Signal-to-noise ratio in dB: speech over the sound between; None if there is too little between.

    The noise is the median, so that a slamming door or a cough does not count as background.
    """
    margin = round(NOISE_MARGIN * SAMPLE_RATE / HOP)
    near = np.convolve(speech, np.ones(2 * margin + 1), "same") > 0
    if (~near).sum() < NOISE_SECONDS * SAMPLE_RATE / HOP:
        return None
    noise = float(np.median(power[~near]))
    voice = float(power[speech].mean()) - noise
    if voice <= 0:
        return 0.0
    return float(np.clip(decibels(voice) - decibels(noise), 0.0, BEST_SNR))


def _hnr(harmonicity: Floats) -> float | None:
    """Harmonics-to-noise ratio: mean over voiced frames of 10 log10(r / (1 - r)) (Boersma 1993, eq. 4).

    Accurate within 1 dB up to 25 dB; above that the lag resolution limits it.
    """
    if harmonicity.size == 0:
        return None
    r = np.clip(harmonicity, 1e-4, 1.0 - 1e-4)
    return float((10.0 * np.log10(r / (1.0 - r))).mean())


def measurements(analysis: Analysis) -> tuple[Measurement, ...]:
    """The analysis as a list with units. What could not be measured is left out, never sent as 0."""
    return tuple(Measurement(name, float(value), unit) for name, value, unit in _values(analysis) if value is not None)


def _values(a: Analysis) -> Iterator[tuple[str, float | None, str]]:
    yield "seconds", a.seconds, "s"
    yield "level", a.level, "dBFS"
    yield "clipped_share", a.clipped, "1"
    yield "loudness", a.loudness, "dBFS"
    yield "loudness_dynamics", a.dynamics, "dB"
    yield "signal_to_noise", a.snr, "dB"
    if a.pitch is not None:
        yield "pitch_mean", a.pitch.mean, "Hz"
        yield "pitch_median", a.pitch.median, "Hz"
        yield "pitch_low", a.pitch.low, "Hz"
        yield "pitch_high", a.pitch.high, "Hz"
        yield "pitch_range", a.pitch.range, "semitones"
        yield "pitch_deviation", a.pitch.deviation, "semitones"
        yield "pitch_slope", a.pitch.slope, "semitones/s"
        yield "pitch_ending", a.pitch.ending, "semitones"
        yield "pitch_tremor", a.pitch.tremor, "semitones"
    if a.pace is not None:
        yield "speech_seconds", sum(span.end - span.start for span in a.spans), "s"
        yield "utterance_seconds", a.pace.utterance_seconds, "s"
        yield "syllables", a.pace.syllables, "1"
        yield "speech_rate", a.pace.speech_rate, "1/s"
        yield "articulation_rate", a.pace.articulation_rate, "1/s"
        yield "pause_count", len(a.pace.pauses), "1"
        yield "pause_total", sum(a.pace.pauses), "s"
        yield "pause_longest", max(a.pace.pauses, default=0.0), "s"
    yield "voiced_share", a.voiced_share, "1"
    yield "harmonics_to_noise", a.hnr, "dB"
    if a.spectrum is not None:
        yield "alpha_ratio", a.spectrum.alpha_ratio, "dB"
        yield "hammarberg_index", a.spectrum.hammarberg_index, "dB"
        yield "cepstral_peak_prominence", a.spectrum.cpp, "dB"
    if a.cycles is not None:
        yield "jitter_local", a.cycles.jitter, "1"
        yield "shimmer_local", a.cycles.shimmer, "1"
        yield "glottal_cycles", a.cycles.cycles, "1"
    heard = a.music or a.music_under
    if heard is not None:
        yield "music", float(a.has_music), "1"  # 1 if music was found
        yield "music_tones", heard.activation, "1"
        yield "music_beat", heard.beat, "1"
