"""What a media file or a path makes a service open: nothing but the file, below a media root."""

from __future__ import annotations

import io
import os
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import grpc
import pytest

from merrflow.common.v1 import common_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow.stages.probe import decode
from merrflow_serving.errors import MerrflowError, TooLarge, from_rpc_error
from merrflow_serving.media.audio import decode_audio, encode_wav
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import iter_frames, open_media
from tests.orchestrator.fakes import make_video


class Listener:
    """A web server and a UDP port on loopback that remember who called."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                seen.append(self.path)
                self.send_error(404)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def listener():
    found = Listener()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def secret(tmp_path) -> Path:
    """A video that only its path protects."""
    path = tmp_path / "elsewhere" / "secret.ts"
    mp4 = make_video(tmp_path / "elsewhere" / "secret.mp4", "red")
    with av.open(str(mp4)) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    return path


def playlists(url: str, secret: Path) -> dict[str, str]:
    """File name -> content that names an address or another file."""
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static" mediaPresentationDuration="PT10S">'
        '<Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    )
    found = {}
    for kind, target in (("url", f"{url}/inner.ts"), ("file", str(secret))):
        for suffix in ("m3u8", "mp4", "ts"):
            found[f"hls_{kind}.{suffix}"] = hls.format(target)
        found[f"concat_{kind}.mp4"] = f"ffconcat version 1.0\nfile '{target}'\n"
        found[f"dash_{kind}.mp4"] = dash.format(target)
        found[f"asx_{kind}.mp4"] = f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'
        found[f"ref_{kind}.mov"] = f"RTSPtextRTSP://{target}"
    media = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    return found | {"stream.sdp": media.format(45014), "sdp.mp4": media.format(45014)}


def take(source: Path | bytes) -> None:
    """All ways in which media are read. Raises nothing but merrflow's errors."""
    reads = [lambda: list(iter_frames(source)), lambda: decode_image(source), lambda: decode_audio(source)]
    if isinstance(source, Path):
        reads.append(lambda: decode(source, max_seconds=60, max_pixels=1 << 24))
    opened = 0
    for read in reads:
        with suppress(MerrflowError):
            read()
            opened += 1
    assert not opened, f"{source!r:.80} was read as media"


def udp_port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.mark.slow
def test_the_traps_work_on_an_ffmpeg_that_may_do_all(listener, secret, tmp_path):
    """Or the tests below would pass for a wrong reason."""
    traps = playlists(f"http://{listener.address}", secret)
    (tmp_path / "url.m3u8").write_text(traps["hls_url.m3u8"])
    (tmp_path / "file.m3u8").write_text(traps["hls_file.m3u8"])
    free = {"protocol_whitelist": "file,http,tcp,crypto,data", "allowed_extensions": "ALL"}
    with suppress(av.error.FFmpegError):
        av.open(str(tmp_path / "url.m3u8"), options=free).close()
    assert "/inner.ts" in listener.seen
    with av.open(str(tmp_path / "file.m3u8"), options=free) as opened:
        assert opened.streams.video
    with av.open(io.BytesIO(traps["stream.sdp"].encode())):
        assert not udp_port_is_free(45014)


def test_nothing_that_media_name_is_opened(listener, secret, tmp_path):
    for name, content in playlists(f"http://{listener.address}", secret).items():
        (tmp_path / name).write_text(content)
        take(tmp_path / name)
        take(content.encode())
        assert udp_port_is_free(45014), name
    assert listener.seen == []


@pytest.mark.parametrize(
    "name",
    [
        "http://{}/video.mp4",
        "concat:{secret}",
        "subfile,,start,0,end,0,,:{secret}",
        "file:{secret}",
        "crypto:{secret}",
        "cache:{secret}",
        "data:text/plain,hello",
        "pipe:0",
        "tcp://{}",
    ],
)
def test_a_clips_name_is_never_an_address_or_a_protocol(name, listener, secret, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    take(Path(name.format(listener.address, secret=secret)))
    assert listener.seen == []


def test_a_pattern_in_a_name_reads_no_other_pictures(tmp_path):
    for number, colour in enumerate(("red", "blue"), 1):
        with av.open(str(make_video(tmp_path / f"{colour}.mp4", colour))) as video:
            next(video.decode(video=0)).to_image().save(tmp_path / f"frame{number:03d}.jpg")
    take(tmp_path / "frame%03d.jpg")
    take(tmp_path / "frame*.jpg")
    assert decode_image(tmp_path / "frame001.jpg").shape == (64, 96, 3)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0", "/dev/fd/0"])
def test_devices_and_files_of_the_kernel_are_no_media(device):
    take(Path(device))


def test_a_pipe_and_a_folder_are_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    take(tmp_path / "pipe.mp4")
    take(tmp_path / "folder.mp4")


async def test_paths_stay_below_the_media_roots(start, tmp_path, listener, monkeypatch):
    root, outside = tmp_path / "root", tmp_path / "root-elsewhere"  # whose name begins alike
    root.mkdir(), outside.mkdir()
    wav = b"voice"
    (root / "inside.wav").write_bytes(wav)
    (outside / "secret.wav").write_bytes(wav)
    (root / "link.wav").symlink_to(outside / "secret.wav")
    (root / "folder").symlink_to(outside)
    (root / "device.wav").symlink_to("/dev/zero")
    (root / "process.wav").symlink_to("/proc/self/environ")
    (root / "good.wav").symlink_to(root / "inside.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    os.mkfifo(root / "pipe.wav")
    monkeypatch.chdir(root)
    refused = [
        *(str(outside / "secret.wav"), f"{root}/../root-elsewhere/secret.wav", f"{root}/link.wav"),
        *(f"{root}/folder/secret.wav", f"{root}/device.wav", f"{root}/process.wav", f"{root}/pipe.wav"),
        *(f"{root}/loop.wav", str(root), f"{root}/missing.wav", "/etc/passwd", "/dev/zero", "/proc/self/environ", ""),
        *(f"http://{listener.address}/a.wav", f"file://{root}/inside.wav", "data:audio/wav,RIFF", "\0", f"{root}/a\0b"),
        *(f"concat:{root}/inside.wav", "~/secret.wav", "/" + "a" * 5000),
    ]
    server = await start(media_roots=[root])
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = pb_grpc.ToneDescriberStub(channel)

        async def ask(path: str):
            return await stub.Describe(pb.DescribeRequest(audio=common_pb2.Media(path=path)))

        assert [(await ask(f"{root}/{name}")).text for name in ("inside.wav", "good.wav")] == ["VOICE"] * 2
        for path in refused:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(path)
            error = from_rpc_error(caught.value)
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PATH_REFUSED"), path[:80]
    assert listener.seen == []


async def test_without_a_media_root_no_path_is_read(start, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"voice")
    server = await start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            request = pb.DescribeRequest(audio=common_pb2.Media(path=str(tmp_path / "a.wav")))
            await pb_grpc.ToneDescriberStub(channel).Describe(request)
    assert from_rpc_error(caught.value).reason == "PATH_REFUSED"


def test_pixels_frames_and_seconds_are_bounded(tmp_path):
    import numpy as np

    video = make_video(tmp_path / "a.mp4", "red", frames=30)
    with pytest.raises(TooLarge, match="pixels"):
        list(iter_frames(video, max_pixels=96 * 64 - 1))
    with pytest.raises(TooLarge, match="frames"):
        list(iter_frames(video, max_frames=29))
    with pytest.raises(TooLarge, match="seconds"):
        decode(video, max_seconds=1.0, max_pixels=1 << 24)
    with pytest.raises(TooLarge, match="seconds"):
        decode_audio(encode_wav(np.zeros(16_001, np.float32)), max_seconds=1.0)
    with pytest.raises(TooLarge, match="pixels"):
        decode_image(video, max_pixels=96 * 64 - 1)
    assert len(list(iter_frames(video, max_pixels=96 * 64, max_frames=30))) == 30
    with open_media(video) as opened:
        assert opened.streams.video
