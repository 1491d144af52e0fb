"""`merrflow.Client` with arguments that are of no use: one line for each. And that both clients take the same."""

from __future__ import annotations

import inspect

import pytest

import merrflow
from tests.orchestrator.clients.test_client import toy  # noqa: F401  # a fixture


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["lama3"], {}, "there is no service 'lama3'; the services are: openface-au, minigpt-v2, qwen-audio, llama3"),
        (["llama3"], {"retry_secs": 1}, "retry_secs"),
        (["llama3"], {"retry_seconds": -1}, "retry_seconds"),
        (["llama3"], {"config": "/no/such/file.yaml"}, "/no/such/file.yaml"),
    ],
)
def test_unusable_arguments(arguments, settings, said):
    for kind in (merrflow.Client, merrflow.AsyncClient):
        with pytest.raises(merrflow.InputError) as refused:
            kind(*arguments, **settings)
        assert said in str(refused.value) and "\n" not in str(refused.value)


def test_an_address_at_which_nobody_answers():
    with pytest.raises(NotReady, match="the service llama3 does not answer at 127.0.0.1:.*merrflow serve llama3"):
        merrflow.Client("llama3", f"127.0.0.1:{free_port()}", connect_seconds=0.5).__enter__()
    with pytest.raises(NotReady, match="'here:many' is no address of a service: write host:port"):
        merrflow.Client("llama3", "here:many").__enter__()


def test_another_service_at_the_address(toy):
    with pytest.raises(NotReady, match="is the service 'qwen-audio', not llama3"):
        merrflow.Client("llama3", toy).__enter__()


def test_a_service_that_cannot_work():
    ToyEngine.load_fault = NotReady("the disk is full; make room", reason="STORAGE")
    with running(Toy()) as address:
        with pytest.raises(NotReady, match="the service qwen-audio cannot work: the disk is full; make room"):
            merrflow.Client("qwen-audio", address).__enter__()


def test_what_a_service_does_not_do(toy):
    with merrflow.Client("qwen-audio", toy) as client:
        for call, rpc, service in (
            (lambda: client.reason(tone="loud"), "Reason", "llama3"),
            (lambda: client.describe(b"picture"), "Describe", "minigpt-v2"),
            (lambda: client.action_units(b"video"), "Detect", "openface-au"),
        ):
            with pytest.raises(merrflow.InputError) as refused:
                call()
            assert str(refused.value) == f"{rpc} is of {service}, and this client calls qwen-audio"


def test_files_that_cannot_be_read_or_used(toy, tmp_path):
    with merrflow.Client("qwen-audio", toy) as client:
        for path, why in ((tmp_path / "gone.wav", "No such file"), (tmp_path, "Is a directory")):
            with pytest.raises(merrflow.InputError, match=f"{path}: cannot be read .{why}"):
                client.tone(path)
        with pytest.raises(merrflow.MerrflowError, match="this is no sound") as refused:
            client.tone(b"bad")
        assert refused.value.reason == "MEDIA_UNREADABLE" and not refused.value.retryable
        assert client.tone(b"good").value.text == "GOOD"


def test_a_missing_video(tmp_path):
    async def ask() -> None:
        async with fake_services() as addresses:
            async with merrflow.AsyncClient("openface-au", addresses["openface_au_address"]) as client:
                await client.action_units(tmp_path / "gone.mp4")

    with pytest.raises(merrflow.InputError, match=r"gone\.mp4: cannot be read .No such file"):
        asyncio.run(ask())


def test_outside_of_its_block(toy):
    client = merrflow.Client("qwen-audio", toy)
    with pytest.raises(merrflow.InputError, match="the client of qwen-audio is not open: use it in a `with` block"):
        client.tone(b"a")
    with client:
        with pytest.raises(merrflow.InputError, match="one `with` block"):
            client.__enter__()
        assert client.tone(b"a").value.text == "A"
    with pytest.raises(merrflow.InputError, match="the client of qwen-audio is closed"):
        client.tone(b"a")
    with pytest.raises(merrflow.InputError, match="one `with` block"):
        client.__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name == "merrflow-client"]


async def test_the_async_one_outside_of_its_block():
    client = merrflow.AsyncClient("qwen-audio")
    with pytest.raises(merrflow.InputError, match="not open: use it in a `with` block"):
        await client.tone(b"a")
    async with Toy() as address:
        async with merrflow.AsyncClient("qwen-audio", address) as client:
            assert (await client.tone(b"a")).value.text == "A"
        with pytest.raises(merrflow.InputError, match="is closed"):
            await client.tone(b"a")


def test_tls(tmp_path):
    from tests.security.certificates import make

    found = make(tmp_path)
    with running(Toy(tls_cert=found.service.cert, tls_key=found.service.key, token=TOKEN)) as address:
        with merrflow.Client("qwen-audio", address, tls_ca=str(found.ca.cert), token=TOKEN) as client:
            assert client.tone(b"a").value.text == "A"
        with pytest.raises(NotReady, match="may want TLS"):
            merrflow.Client("qwen-audio", address, connect_seconds=0.7).__enter__()


def test_paths_are_named_to_a_service_on_the_same_disk(tmp_path):
    (tmp_path / "voice.wav").write_bytes(b"voice")
    with running(Toy(media_roots=str(tmp_path))) as address:  # sounds go as bytes in any case
        with merrflow.Client("qwen-audio", address, send_paths=True) as client:
            assert client.tone(Path(tmp_path / "voice.wav")).value.text == "VOICE"


@pytest.mark.parametrize(
    ("arguments", "settings", "why"),
    [
        (("llama3",), {"config": 5}, "config: the path of a file is wanted, not 5"),
        (("llama3",), {"config": "a\0b"}, "config: the path of a file is wanted, not 'a"),
        (("llama3", 5), {}, "address: a text such as host:port is wanted, not int"),
        ((["llama3"],), {}, "there is no service .'llama3'.; the services are: openface-au"),
        (("llama3",), {"retry_seconds": "soon"}, "retry_seconds: Input should be a valid number"),
    ],
)
@pytest.mark.parametrize("kind", [merrflow.Client, merrflow.AsyncClient])
def test_arguments_of_another_type(kind, arguments, settings, why):
    with pytest.raises(merrflow.InputError, match=why) as refused:
        kind(*arguments, **settings)
    assert "\n" not in str(refused.value)


def test_media_of_another_type(toy):
    with merrflow.Client("qwen-audio", toy) as client:
        with pytest.raises(merrflow.InputError, match="media: the path of a file is wanted, not 5"):
            client.tone(5)


def test_both_clients_take_the_same():
    for name in ("action_units", "describe", "tone", "reason", "score"):
        blocking, other = getattr(merrflow.Client, name), getattr(merrflow.AsyncClient, name)
        assert inspect.signature(blocking) == inspect.signature(other) and blocking.__doc__ == other.__doc__
