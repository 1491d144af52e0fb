"""What is deployed: certificates made by the script, the examples of clients with them, and containers."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from merrflow.cli.services import look
from merrflow_serving.catalog import SERVICES
from tests.deploy.stack import defaults, reason_to_skip
from tests.examples.test_clients import COMMANDS, GRPCURL, LANGUAGES
from tests.security.conftest import TOKEN

ROOT = Path(__file__).parents[2]


def make(folder: Path, *names: str) -> None:
    subprocess.run([str(ROOT / "deploy/make-certificates.sh"), str(folder), *names], check=True, capture_output=True)


def test_the_script_makes_what_the_override_mounts(tmp_path):
    folder = tmp_path / "tls"
    make(folder)
    override = yaml.safe_load((ROOT / "deploy/compose/tls.yml").read_text())["services"]
    assert set(override) == {*SERVICES, "worker"}
    for name, service in override.items():
        (volume,) = service["volumes"]
        assert volume["source"] == f"${{TLS}}/{name}" and volume["read_only"]
        prefix = SERVICES[name].env_prefix if name in SERVICES else "MERRFLOW_"
        for variable, path in service["environment"].items():
            assert variable.startswith(prefix)
            assert (folder / name / Path(path).relative_to("/tls")).stat().st_size > 40, variable
        subprocess.run(
            ["openssl", "verify", "-CAfile", folder / name / "ca.pem", folder / name / "cert.pem"], check=True
        )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "authority.key").stat().st_mode) == 0o600
    assert not list(folder.glob("*/authority.key"))


def test_the_script_keeps_what_is_there_and_adds_names(tmp_path):
    make(tmp_path, "llama3")
    before = (tmp_path / "llama3/cert.pem").read_bytes(), (tmp_path / "ca.pem").read_bytes()
    make(tmp_path, "llama3", "qwen-audio@gpu.example,10.0.0.7")
    assert before == ((tmp_path / "llama3/cert.pem").read_bytes(), (tmp_path / "ca.pem").read_bytes())
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", tmp_path / "qwen-audio/cert.pem"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in ("DNS:qwen-audio", "DNS:gpu.example", "IP Address:10.0.0.7", "DNS:localhost"):
        assert name in text


@LANGUAGES
async def test_the_examples_of_clients_speak_mtls_with_a_token(language, start, tmp_path):
    make(tmp_path, "qwen-audio", "worker")
    own = tmp_path / "qwen-audio"
    files = {"tls_cert": own / "cert.pem", "tls_key": own / "key.pem", "tls_client_ca": own / "ca.pem"}
    server = await start(**files, token=TOKEN)
    (tmp_path / "voice.wav").write_bytes(b"voice")
    client = tmp_path / "worker"
    credentials = {
        "MERRFLOW_TLS_CA": str(client / "ca.pem"),
        "MERRFLOW_TLS_CERT": str(client / "cert.pem"),
        "MERRFLOW_TLS_KEY": str(client / "key.pem"),
        "MERRFLOW_TOKEN": TOKEN,
    }
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[language],
        str(tmp_path / "voice.wav"),
        server.address,
        env=os.environ | {"GRPCURL": str(GRPCURL)} | credentials,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    assert "VOICE" in out.decode()


@pytest.mark.parametrize("name", ["openface-au", "minigpt-v2", "qwen-audio", "llama3", "prefect", "postgres", "worker"])
def test_containers_are_confined(name):
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["pids_limit"] <= 4096
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(service)


@pytest.fixture
def container(tmp_path):
    """qwen-audio as deploy/compose/tls.yml confines and configures it, with the sources of this folder."""
    if reason_to_skip():
        pytest.skip(reason_to_skip())
    image = defaults()["QWEN_AUDIO_IMAGE"]
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode:
        pytest.skip(f"{image} is not built")
    make(tmp_path / "tls", "qwen-audio", "worker")
    override = yaml.safe_load((ROOT / "deploy/compose/tls.yml").read_text())["services"]["qwen-audio"]
    variables = [word for item in override["environment"].items() for word in ("-e", "=".join(item))]
    code = ROOT / "services/serving/merrflow_serving"
    name = subprocess.run(
        [
            *("docker", "run", "-d", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "-p", "127.0.0.1::50053"),
            *("-v", f"{tmp_path}/tls/qwen-audio:/tls:ro", "-v", f"{code}:/opt/app/merrflow_serving:ro"),
            *(*variables, "--health-interval", "2s", image),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)


async def test_a_container_with_mtls_and_token_gets_healthy_and_lets_only_its_clients_in(
    container, tmp_path, monkeypatch
):
    def ask(*arguments: str) -> str:
        return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    async with asyncio.timeout(120):
        while ask("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
            await asyncio.sleep(1)
    address = ask("port", container, "50053").splitlines()[0]
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", address)

    async def seen() -> dict:
        return next(one for one in await look(None) if one["service"] == "qwen-audio")

    assert (await seen())["health"] == "UNREACHABLE"
    own = tmp_path / "tls/worker"
    for setting, file in (("TLS_CA", "ca.pem"), ("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")):
        monkeypatch.setenv(f"MERRFLOW_{setting}", str(own / file))
    assert "set MERRFLOW_TOKEN" in (await seen())["problem"]
    monkeypatch.setenv("MERRFLOW_TOKEN_FILE", str(own / "tokens"))
    assert (await seen())["health"] == "SERVING"
