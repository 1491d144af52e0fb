"""The special tokens of Qwen-Audio's tokenizer, in the order of their ids.

Their ids follow those of the ordinary tokens (QwenLM/Qwen-Audio, tokenization_qwen.py): with the published vocabulary
of 151,643 entries, `<|endoftext|>` is 151643 and `</audio>` 155164.
"""

from __future__ import annotations

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
AUDIO_PAD = "[[[AUDIO:modality]]]"
AUDIO_START = "<audio>"
AUDIO_END = "</audio>"

_EXTRAS = 205
_LANGUAGES = ("en", "zh", "de", "es", "ko", "fr", "ja", "it")
_TIMESTAMPS = 3_001  # 0.00 to 30.00 s
_MIDI = 128

SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    IM_START,
    IM_END,
    *(f"<|extra_{number}|>" for number in range(_EXTRAS)),
    AUDIO_PAD,
    "<|startoftranscript|>",
    "<|startofanalysis|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|caption|>",
    "<|keyword|>",
    "<|unknown|>",
    *(f"<|{language}|>" for language in _LANGUAGES),
    "<|zh_tr|>",
    "<|notimestamps|>",
    "<|sil|>",
    "<|timestamps|>",
    *(f"<|{number * 0.01:.2f}|>" for number in range(_TIMESTAMPS)),
    "<|caption_audiocaps|>",
    "<|caption_clotho|>",
    "<|audioset_ontology|>",
    "<|caption_plain|>",
    "<|itn|>",
    "<|wo_itn|>",
    "<|startofentityvalue|>",
    "<|endofentityvalue|>",
    "<|startofentitytype|>",
    "<|endofentitytype|>",
    "<|named_entity_recognition|>",
    "<|audio_grounding|>",
    "<|startofword|>",
    "<|endofword|>",
    "<|delim|>",
    "<|emotion_recognition|>",
    "<|music_description|>",
    "<|note_analysis|>",
    "<|pitch|>",
    *(f"<|midi_pitch_{number}|>" for number in range(_MIDI)),
    "<|velocity|>",
    *(f"<|midi_velocity_{number}|>" for number in range(_MIDI)),
    "<|sonic|>",
    "<|instrument|>",
    "<|speaker_meta|>",
    "<|song_meta|>",
    "<|question|>",
    "<|answer|>",
    "<|choice|>",
    "<|scene|>",
    "<|event|>",
    "<|vocal_classification|>",
    "<|speech_understanding|>",
    "<|scenario|>",
    "<|action|>",
    "<|entities|>",
    "<|speech_edit|>",
    AUDIO_START,
    AUDIO_END,
)
