"""Which of a file's sound tracks is heard, in which order others are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from av.stream import Disposition

from merrflow_serving.media.languages import language_of
from merrflow_serving.media.tracks import matroska_seconds

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

# Tracks that say something else than the persons in the picture, or not all of it.
_BESIDES = (
    Disposition.comment
    | Disposition.lyrics
    | Disposition.karaoke
    | Disposition.visual_impaired
    | Disposition.descriptions
    | Disposition.clean_effects
    | Disposition.non_diegetic
    | Disposition.dependent
)
_WHOLE = 0.9  # of the longest track; a shorter one is a fragment


def ranked(tracks: Sequence[AudioStream], language: str = "") -> list[AudioStream]:
    """The tracks, the one to be heard first.

    Commentaries and audio descriptions come last. Then counts the language (ISO 639 of any part, empty for any),
    then the default flag, as in a player; then whether the track lasts as long as the others, channels, and order.
    """
    wanted = language_of(language)
    longest = max((_seconds(track) for track in tracks), default=0.0)

    def rank(track: AudioStream) -> tuple[bool, bool, bool, bool, int, int]:
        channels = track.codec_context.channels if track.codec_context else 0
        return (
            bool(track.disposition & _BESIDES),
            bool(wanted) and language_of(track.metadata.get("language", "")) != wanted,
            not track.disposition & Disposition.default,
            0 < _seconds(track) < _WHOLE * longest,
            -channels,
            track.index,
        )

    return sorted(tracks, key=rank)


def _seconds(track: AudioStream) -> float:
    """As its header says; 0 if it says nothing."""
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    return matroska_seconds(track)
