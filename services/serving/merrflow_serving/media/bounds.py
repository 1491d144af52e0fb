"""What a file's header may ask for: checked before anything is allocated for it.

A few bytes can claim any size: 581 of FLAC at 1 Hz become 1.2 GB by resampling, a PNG of 1 MB is 1 GB of pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from merrflow_serving.errors import UnreadableMedia

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

MOST_PIXELS = 7680 * 4320  # of a picture that nobody asked for, such as the cover of a recording
MOST_SAMPLES = 1 << 20  # in one frame of sound, a channel; FLAC has up to 65,535
MOST_CHANNELS = 64
MOST_VALUES = 1 << 26  # of one frame of sound, all channels together, after resampling: 256 MiB
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; far above, the resampler's own filter takes gigabytes
MOST_CHANGES = 100  # of a sound's rate, layout or format: each costs a new filter, and a frame needs only 14 bytes
_MARGIN_PIXELS = 1 << 16


def pixel_limit(max_pixels: int) -> dict[str, str]:
    """A decoder's option: above it, it refuses before it allocates. 0: no limit.

    Twice as many, because coded sizes are rounded up.
    """
    return {"max_pixels": str(2 * max_pixels + _MARGIN_PIXELS)} if max_pixels else {}


def sound_limit(track: AudioStream) -> dict[str, str]:
    """A decoder's option, as `pixel_limit`. Raises `UnreadableMedia` for a rate or channels that no sound has."""
    codec = track.codec_context
    if codec.sample_rate:  # 0: only the decoder will know it
        check_rate(codec.sample_rate)
    if codec.channels > MOST_CHANNELS:
        raise UnreadableMedia(f"the sound has {codec.channels} channels; at most {MOST_CHANNELS} are read")
    return {"max_samples": str(MOST_SAMPLES)}


def check_rate(rate: int) -> None:
    """Raises `UnreadableMedia` unless it is one of sound, in Hz."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UnreadableMedia(f"the sound has a rate of {rate} Hz; rates from {LOWEST_RATE} to {HIGHEST_RATE} are read")
