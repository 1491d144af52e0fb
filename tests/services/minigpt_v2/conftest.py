"""Fixtures of the scene service's tests."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest


@pytest.fixture(scope="session")
def one_thread():
    """Small matrices gain nothing from threads, and other tests run beside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def any_size():
    """The table of weights without sizes and sha256, which only the full-size files have; the names stay."""
    import merrflow_serving.weights

    module = sys.modules[f"{merrflow_serving.weights.__name__}.entries"]  # the package has a function of that name
    table = {
        name: replace(entry, files=tuple(replace(file, size=None, sha256="") for file in entry.files))
        for name, entry in module.entries().items()
    }
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "entries", lambda: table)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the small weights."""
    from tests.services.minigpt_v2.tiny import make_files

    return make_files().write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The models' folder."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def make(root, store):
    """Engines over the small weights; closed afterwards."""
    from merrflow_minigpt_v2.settings import MiniGptSettings
    from tests.services.minigpt_v2.tiny import TinyEngine

    made = []

    def _make(load: bool = True, **changed):
        given = {"models_dir": store, "weights": str(root), "offline": True, "device": "cpu", "answer_tokens": 12}
        engine = TinyEngine(MiniGptSettings(**given | {"max_instruction_tokens": 200} | changed))
        made.append(engine)
        if load:
            engine.load()
        return engine

    yield _make
    for engine in made:
        engine.close()
