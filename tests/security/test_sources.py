"""What the sources never do, read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = [*(ROOT / "orchestrator/merrflow").rglob("*.py"), *(ROOT / "services").rglob("merrflow_*/**/*.py")]
# It imports the module for its error alone; torch reads the file, with weights_only=True.
PICKLES = {"services/serving/merrflow_serving/weights/pickles.py"}
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "shelve",
    "marshal",
    "joblib",
    "pty",
    "commands",
}
UNSAFE_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load"),
    *("yaml.unsafe_load", "yaml.full_load", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"),
    *("asyncio.create_subprocess_shell", "np.load", "numpy.load", "torch.load", "pd.read_pickle", "extractall"),
}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def findings(source: str, path: str = "") -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.split(".")[0] in UNSAFE_MODULES and path not in PICKLES:
                    yield f"{path}:{node.lineno} imports {name}"
        if not isinstance(node, ast.Call):
            continue
        called = name_of(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if called in UNSAFE_CALLS or called.endswith(".extractall"):
            only_tensors = called == "torch.load" and getattr(given.get("weights_only"), "value", None) is True
            plain_array = called.endswith(".load") and called[0] == "n" and "allow_pickle" not in given
            if not (only_tensors or plain_array):
                yield f"{path}:{node.lineno} calls {called}"
        for name in ("shell", "trust_remote_code", "allow_pickle"):
            if name in given and not (isinstance(given[name], ast.Constant) and given[name].value is False):
                yield f"{path}:{node.lineno} gives {name}"
        if isinstance(given.get("verify"), ast.Constant) and given["verify"].value is False:
            yield f"{path}:{node.lineno} does not check a certificate"


def test_no_pickle_no_remote_code_no_shell():
    assert len(FILES) > 150
    found = [line for file in FILES for line in findings(file.read_text(), str(file.relative_to(ROOT)))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "eval(text)",
        "import os\nos.system(line)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=flag)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "archive.extractall(folder)",
        "requests.get(url, verify=False)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert list(findings(source))


def test_the_search_lets_the_safe_forms_pass():
    safe = (
        "torch.load(path, weights_only=True)\nsubprocess.run([a, b], shell=False)\nyaml.safe_load(text)\nre.compile(a)"
    )
    assert list(findings(safe)) == []


def test_the_one_file_about_pickles_loads_none_by_itself():
    """tests/services/serving/test_checkpoint.py has what torch then refuses."""
    for path in PICKLES:
        used = set(re.findall(r"pickle\.(\w+)", (ROOT / path).read_text()))
        assert used <= {"UnpicklingError"}


def test_templates_of_pages_escape_by_default():
    for file in (ROOT / "orchestrator/merrflow").rglob("*.py"):
        source = file.read_text()
        if "Environment(" in source and "autoescape" in source and file.name != "card.py":  # card.md.j2 is Markdown
            assert "autoescape=True" in source, file
    for page in (ROOT / "orchestrator/merrflow").rglob("*.html.j2"):
        assert not re.search(r"\|\s*safe|autoescape\s+false", page.read_text()), page
    assert "innerHTML" not in (ROOT / "orchestrator/merrflow/datasets/report/filters.js").read_text()


def test_every_published_port_of_a_container_is_on_loopback():
    """By default; LISTEN in .env, which moves those that can ask for a token, is in tests/deploy/test_files.py."""
    own = ("127.0.0.1:", "${LISTEN:-127.0.0.1}:")
    assert "\nLISTEN=127.0.0.1\n" in (ROOT / ".env").read_text()
    for file in (ROOT / "docker-compose.yml", *(ROOT / "deploy/compose").glob("*.yml")):
        for name, service in (yaml.safe_load(file.read_text()).get("services") or {}).items():
            for port in service.get("ports", ()):
                assert str(port).startswith(own), f"{file.name}: {name}: {port}"


def test_no_file_holds_a_secret():
    """Keys, tokens of hubs, passwords in addresses; the one in .env guards a database that no port leads to."""
    secret = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{20}"
        r"|\bhf_[A-Za-z0-9]{30,}|\bghp_[A-Za-z0-9]{30,}|\bAKIA[A-Z0-9]{16}\b"
    )
    suffixes = {".py", ".yml", ".yaml", ".md", ".sh", ".toml", ".txt", ".js", ".json", ".env", ""}
    folders = ("orchestrator", "services", "deploy", "docs", "examples/clients/python", "protos")
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*")):
        if file.is_file() and file.suffix in suffixes and file.stat().st_size < 1 << 20:
            assert not secret.search(file.read_text(errors="replace")), file
