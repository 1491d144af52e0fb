"""The files of the clips, while the clips are in work: they may vanish, come back, or be replaced.

A clip's bytes were read when it was registered. So an error of the system, or another file in its place, is no fault of
the clip: nothing of that try is kept, and the clip is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from av.error import FFmpegError

from merrflow.core.errors import ClipsAway, FileAway, reading_clip
from merrflow.core.fingerprint import file_sha256, file_state
from merrflow.core.measurements import Clip, FileState
from merrflow.core.paths import path_text
from merrflow.stages.stage import InThread
from merrflow_serving.errors import MerrflowError, MissingStream, UnreadableMedia

Value = TypeVar("Value")
# Seconds before a clip whose file was away is tried again. The first is for errors that end once the file is opened
# again, and for media that could not be decoded.
PAUSES = (0.0, 0.5, 2.0, 8.0)
MANY = 8  # clips in a row, after all these tries: then the rest is not tried at all
_OF_MEDIA = (UnreadableMedia.reason, MissingStream.reason)


class ClipFile:
    """The file of one clip. Does nothing for one that could not be read when it was registered."""

    def __init__(self, clip: Clip, in_thread: InThread) -> None:
        self.clip = clip
        self.in_thread = in_thread
        self._known = clip.file  # a state in which the file holds the bytes that were registered
        self._doubted: set[str] = set()
        self._believed: MerrflowError | None = None

    async def begin(self) -> None:
        """Before each try. Raises `FileAway` unless the file is there, with the bytes that were registered."""
        if self._known is None:
            return
        now = await self._state()
        if now.size != self._known.size:
            raise self._replaced()
        if not now.is_like(self._known) or (self._known.inode is not None and now != self._known):
            # The same bytes with another time, name or number; or another file with the size of the first.
            await self._compare()
        self._known = now

    async def check(self) -> None:
        """After each read. Raises `FileAway` unless the file has been there, and the same, since `begin`."""
        if self._known is not None:
            self.compare(await self._state())

    def compare(self, now: FileState) -> None:
        """The same with the state after the read."""
        if self._known is None or now == self._known:
            return
        if now != replace(self._known, ctime_ns=now.ctime_ns):
            raise self._replaced()
        # Another file may have been there and the first put back; or on this file system reading changes the time.
        self._doubt("ctime", self._replaced())

    async def judge(self, error: MerrflowError, stage: str) -> None:
        """Returns if a stage's failure is the clip's own. Raises `FileAway` if its file may have been away meanwhile.

        ffmpeg and services report errors of the system as media that cannot be decoded. So such media are believed to
        be bad only if two tries say the same while the file can be read with the bytes that were registered.
        """
        if error is self._believed:  # the stage has it from one that it uses
            return
        await self.check()
        if self._known is not None and error.reason in _OF_MEDIA:
            cause = error.__cause__
            if isinstance(cause, OSError) and not isinstance(cause, FFmpegError):
                raise FileAway(str(error))
            await self._compare()
            self._doubt(f"{stage}: {error}", FileAway(str(error)))
        self._believed = error

    async def _state(self) -> FileState:
        with reading_clip():
            return await self.in_thread(file_state, self.clip.path)

    async def _compare(self) -> None:
        """Raises `FileAway` unless the file has the bytes that were registered."""
        with reading_clip():
            sha256 = await self.in_thread(file_sha256, self.clip.path)
        if sha256 != self.clip.sha256:
            raise self._replaced()

    def _doubt(self, sign: str, error: FileAway) -> None:
        """Raises the error the first time that the sign is seen on this clip."""
        if sign not in self._doubted:
            self._doubted.add(sign)
            raise error

    def _replaced(self) -> FileAway:
        return FileAway(f"the file was replaced or changed since the run began: {path_text(self.clip.path)}")


class Reading:
    """What one stage reads of a clip on threads, each time with the file's state after it in the same hand-over."""

    def __init__(self, file: ClipFile) -> None:
        self._file = file
        self._states: list[FileState | None] = []  # None: it could not be asked for

    async def in_thread(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Runs blocking work, which may read the clip."""
        path = self._file.clip.path

        def read() -> tuple[Value, FileState | None]:
            value = function(*arguments)
            try:
                return value, file_state(path)
            except OSError:
                return value, None

        value, state = await self._file.in_thread(read)
        self._states.append(state)
        return value

    async def check(self) -> None:
        """As that of `ClipFile`."""
        if not self._states or None in self._states:
            await self._file.check()
        for state in self._states:
            if state:
                self._file.compare(state)


class AwayInARow:
    """Stops a run whose clips are all away."""

    def __init__(self) -> None:
        self._count = 0

    def end(self) -> None:
        """A clip was there."""
        self._count = 0

    def add(self, reason: str) -> None:
        """The file of a clip was away in all its tries. Raises `ClipsAway` if that were many clips in a row."""
        self._count += 1
        if self._count >= MANY:
            raise ClipsAway(
                f"{self._count} clips in a row cannot be read as they were registered, so their folder seems to be "
                f"gone (the last: {reason}); make it available again, and run the same command again to go on from here"
            )
