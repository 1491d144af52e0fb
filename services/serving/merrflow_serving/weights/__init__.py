"""Weights of the real models: which files they are, where they are, how to get them, and whether they are whole.

`locate` gives an engine its folder, `revision` says what is in it. The entries are described in `weights.yaml`.
Nothing here imports torch or a hub's library until it is needed.
"""

from merrflow_serving.weights.entries import Entry, WeightFile, entries, entry
from merrflow_serving.weights.locate import folder_of, locate, locate_all, revision
from merrflow_serving.weights.places import Place, WeightSettings, default_models_dir

__all__ = [
    "Entry",
    "Place",
    "WeightFile",
    "WeightSettings",
    "default_models_dir",
    "entries",
    "entry",
    "folder_of",
    "locate",
    "locate_all",
    "revision",
]
