"""Starts MER-Factory's command in its own Python, from its folder. Imports nothing of merrflow.

    PEER_PYTHON start_peer.py CLIPS OUT --type MER --chatgpt-model MODEL --silent

Its ChatGPT model cannot be asked about a video: the method takes no prompt, so that every clip fails. Here it makes the
call that its Gemini model makes, with the clip's bytes, because Gemini's address cannot be changed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any


async def describe_video(model: Any, video_path: Path, prompt: str) -> Any:
    """What the video shows, as `GeminiModel.describe_video` asks for it."""
    from langchain_core.messages import HumanMessage
    from langchain_core.output_parsers import StrOutputParser

    data = await asyncio.to_thread(lambda: base64.b64encode(video_path.read_bytes()).decode())
    video = {"type": "image_url", "image_url": {"url": f"data:video/mp4;base64,{data}"}}
    message = HumanMessage(content=[{"type": "text", "text": prompt}, video])
    return await (model.vision_model | StrOutputParser()).ainvoke([message])


def main() -> None:
    sys.path.insert(0, os.getcwd())
    from main import app
    from mer_factory.models.api_models.chatgpt import ChatGptModel

    ChatGptModel.describe_video = describe_video
    app()


if __name__ == "__main__":
    main()
