"""`merrflow.Client` and `merrflow.AsyncClient` against real services: answers, and a clear line for each error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import merrflow
from merrflow_serving.errors import NotReady
from merrflow_serving.media.audio import encode_wav
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.media.png import encode_png
from merrflow_serving.server import Server
from merrflow_serving.service import ServiceSettings
from tests.orchestrator.fakes import Translator, fake_services, make_video
from tests.ports import free_port
from tests.services.serving.toy import SPEC, ToyEngine

TOKEN = "a-token-of-client-tests"
PICTURE = encode_jpeg(np.zeros((48, 64, 3), np.uint8))
SOUND = encode_wav(np.zeros(16000, np.float32))


@contextmanager
def running(opened) -> Iterator[object]:
    """What an async context manager opens, on an event loop of its own: the sync client is for code without one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        value = do(opened.__aenter__())
        try:
            yield value
        finally:
            do(opened.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Toy:
    """The toy service as an async context manager; its address."""

    def __init__(self, **settings) -> None:
        self._settings = ServiceSettings(port=0, drain_seconds=1, **settings)

    async def __aenter__(self) -> str:
        self._server = Server(SPEC, self._settings)
        await self._server.start()
        return self._server.address

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()


@pytest.fixture
def toy(tmp_path) -> Iterator[str]:
    (tmp_path / "voice.wav").write_bytes(b"voice")
    with running(Toy(max_message_mib=1)) as address:
        yield address


@pytest.fixture(autouse=True)
def _toy_as_it_was() -> Iterator[None]:
    yield
    ToyEngine.load_fault = None
    ToyEngine.loading.set()


async def test_a_frame_of_4k_with_every_pixel_is_above_the_message_limit_and_gets_through():
    frame = encode_png(np.random.default_rng(0).integers(0, 256, (2160, 3840, 3), np.uint8))
    assert len(frame) > ServiceSettings().max_message_bytes
    async with (
        fake_services() as addresses,
        merrflow.AsyncClient("minigpt-v2", addresses["minigpt_v2_address"]) as client,
    ):
        assert (await client.describe(frame)).value.text


async def test_every_call_of_every_service(tmp_path):
    red = make_video(tmp_path / "red.mp4", "red")
    async with fake_services() as addresses:
        by_name = {name.replace("_", "-").removesuffix("-address"): where for name, where in addresses.items()}
        async with merrflow.AsyncClient("openface-au", by_name["openface-au"]) as client:
            for video in (red, str(red), red.read_bytes()):
                measured = await client.action_units(video)
                assert len(measured.value.frames) == 12 and measured.origin.engine
        async with merrflow.AsyncClient("minigpt-v2", by_name["minigpt-v2"]) as client:
            scene = await client.describe(PICTURE, context=[(0.5, PICTURE)])
            assert scene.value.text and scene.outcome is merrflow.Outcome.DONE
        async with merrflow.AsyncClient("qwen-audio", by_name["qwen-audio"]) as client:
            tone = await client.tone(SOUND)
            assert tone.value.text and tone.value.content == "speech"
        async with merrflow.AsyncClient("llama3", by_name["llama3"]) as client:
            told = await client.reason(tone="loud", subtitle="Get out!", label="angry", seed=3)
            assert told.value.text and told.value.seed == 3
            scores = await client.score(["happy", "angry"], tone="loud")
            assert sum(scores.value.probability.values()) == pytest.approx(1)
            with pytest.raises(merrflow.MerrflowError, match="does not translate") as caught:
                await client.translate("我不知道。", language="zh")
            assert caught.value.reason == "NO_TRANSLATION"
    async with fake_services(llama3=Translator) as addresses:
        async with merrflow.AsyncClient("llama3", addresses["llama3_address"]) as client:
            english = await client.translate("我不知道。", language="zh", seed=3)
            assert (english.value.text, english.value.language) == ("I don't know what to do.", "zh")
            assert english.origin.prompt_version == "translation-1"


def test_without_an_event_loop(toy, tmp_path):
    with merrflow.Client("qwen-audio", toy) as client:
        assert client.info.engine.engine == "toy"
        assert client.tone(tmp_path / "voice.wav").value.text == "VOICE"
        assert client.tone(str(tmp_path / "voice.wav")).value.text == "VOICE"
        assert client.tone(b"a" * (3 << 20)).value.text == "A" * (3 << 20)  # streamed: a message has 1 MiB at most


async def test_inside_a_running_event_loop_as_in_a_notebook(toy):
    with merrflow.Client("qwen-audio", toy) as client:
        assert client.tone(b"voice").value.text == "VOICE"


def test_several_threads_share_one_client(toy):
    ToyEngine.batches.clear()
    with merrflow.Client("qwen-audio", toy) as client, ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda number: client.tone(str(number).encode()).value.text, range(40)))
    assert texts == list(map(str, range(40)))
    assert max(map(len, ToyEngine.batches)) > 1, "calls at the same time share a batch"


def test_what_it_waits_for_is_said(toy):
    said: list[str] = []
    ToyEngine.loading.clear()
    with running(Toy()) as address:
        threading.Timer(1.0, ToyEngine.loading.set).start()
        with merrflow.Client("qwen-audio", address, say=said.append) as client:
            assert client.tone(b"a").value.text == "A"
    assert said[0] == "qwen-audio: loading its model"


def test_closing_ends_the_calls_of_other_threads(toy):
    ToyEngine.hold.clear()
    with ThreadPoolExecutor(1) as threads:
        with merrflow.Client("qwen-audio", toy) as client:
            call = threads.submit(client.tone, b"hold")
            threading.Event().wait(0.5)
        ToyEngine.hold.set()
        with pytest.raises(merrflow.InputError, match="the client of qwen-audio is closed"):
            call.result(10)
    ToyEngine.hold.clear()


async def test_closing_ends_the_calls_of_other_tasks_but_a_cancelled_one_stays_cancelled():
    ToyEngine.hold.clear()
    async with Toy() as address:
        async with merrflow.AsyncClient("qwen-audio", address) as client:
            cancelled, call = (asyncio.create_task(client.tone(b"hold")) for _ in range(2))
            await asyncio.sleep(0.5)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        ToyEngine.hold.set()
        with pytest.raises(merrflow.InputError, match="the client of qwen-audio is closed"):
            await call
    ToyEngine.hold.clear()


def test_calls_that_begin_while_it_closes_end(toy):
    said: list[str] = []

    def call() -> None:
        try:
            said.append(client.tone(b"a").value.text)
        except merrflow.InputError as error:
            said.append(str(error))

    for _ in range(5):
        threads = [threading.Thread(target=call, daemon=True) for _ in range(40)]
        with merrflow.Client("qwen-audio", toy) as client:
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(10)
    assert len(said) == 200 and set(said) <= {"A", "the client of qwen-audio is closed"}


def test_a_token_and_a_wrong_one():
    with running(Toy(token=TOKEN)) as address:
        with merrflow.Client("qwen-audio", address, token=TOKEN) as client:
            assert client.tone(b"a").value.text == "A"
        for settings in ({}, {"token": "another-token-entirely"}):
            with pytest.raises(NotReady, match=r"refuses this client: .*set MERRFLOW_TOKEN") as refused:
                merrflow.Client("qwen-audio", address, connect_seconds=1.0, **settings).__enter__()
            assert "\n" not in str(refused.value) and TOKEN not in str(refused.value)


def test_the_address_comes_from_the_settings_or_is_the_services_port_here(toy, monkeypatch, tmp_path):
    assert merrflow.Client("llama3")._client.address == "127.0.0.1:50054"
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", toy)
    with merrflow.Client("qwen-audio") as client:
        assert client.tone(b"a").value.text == "A"
    monkeypatch.delenv("MERRFLOW_QWEN_AUDIO_ADDRESS")
    (tmp_path / "settings.yaml").write_text(f"qwen_audio_address: {toy}\n")
    with merrflow.Client("qwen-audio", config=tmp_path / "settings.yaml") as client:
        assert client.tone(b"a").value.text == "A"


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
    with pytest.raises(merrflow.InputError, match="not open: use it in a `with` block"):
        client.info  # noqa: B018
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
