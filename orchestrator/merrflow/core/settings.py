"""The settings of a run, and what they must be."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from merrflow.core.errors import InputError
from merrflow.core.second_engines import SecondEngine, second_engines
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.media.languages import language_of

LONGEST_WAIT = 1e7  # seconds, 115 days; a deadline of 1e12 has passed at once, as gRPC counts


class RunSettings(BaseSettings):
    """The settings of a run. Each field is also the environment variable `MERRFLOW_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix="MERRFLOW_",
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a traceback must not print a password
    )

    openface_au_address: str = Field(
        "", description="host:port of the openface-au service; several with commas, or a name of several hosts"
    )
    minigpt_v2_address: str = Field(
        "", description="host:port of the minigpt-v2 service; several with commas, or a name of several hosts"
    )
    qwen_audio_address: str = Field(
        "", description="host:port of the qwen-audio service; several with commas, or a name of several hosts"
    )
    llama3_address: str = Field(
        "", description="host:port of the llama3 service; several with commas, or a name of several hosts"
    )
    whisper_address: str = Field(
        "", description="host:port of the whisper service; several with commas, or a name of several hosts"
    )
    tls_ca: str = Field(
        "", description="PEM file of who signs the services' certificates, or `system`; empty for calls without TLS"
    )
    tls_cert: Path | None = Field(None, description="PEM file: this client's certificate, for services with mTLS")
    tls_key: Path | None = Field(None, description="PEM file: its key")
    token: SecretStr = Field(SecretStr(""), description="bearer token that the services take")
    token_file: Path | None = Field(None, description="file with that token; the first line counts")
    plain_token: bool = Field(
        False, description="send the token without TLS beyond this machine: something else encrypts"
    )
    send_paths: bool = Field(
        False, description="name clips to openface-au by path instead of sending bytes (shared disk)"
    )
    allow_remote: bool = Field(
        False,
        description="let services send pictures, sound and texts of the clips to endpoints beyond this machine and its "
        "private network, such as a provider's (docs/remote-models.md)",
    )
    prices: str = Field("", description="YAML file with prices of models, for the report (docs/remote-models.md)")
    rules: str = Field("default", description="rule set: default, merr, calibrated, or a path to a YAML file")
    labels_from: Literal["rules", "model"] = Field(
        "rules", description="who labels expressive clips that no table labels: the rules, or the reasoning model"
    )
    label_least_share: float = Field(
        0.4, ge=0, le=1, description="labels_from: model takes a label from this share on; else the rules' label stays"
    )
    witnesses: str = Field(
        "default",
        description="who is heard on a label's standing, and at what weight: default, or a path to a YAML file",
    )
    witness: str = Field(
        "",
        description="second engines, which answer beside the main one: ROLE=ENGINE or ROLE=HOST:PORT, several with "
        "commas, other roles after a blank, such as qwen-audio=qwen2_audio,openai (docs/witnesses.md)",
    )
    witness_judge: str = Field(
        "rules",
        description="who compares the texts of second engines with those of the main ones: rules; model: the reasoning "
        "model, in a service of its own; or HOST:PORT of such a service (docs/witnesses.md)",
    )
    label_scores: Literal["modalities", "all", "none"] = Field(
        "all",
        description="what the model weighs all labels by: all clues together; modalities: also each of face, voice and "
        "words alone (for models of LLaMA-3's size; a small one is at chance there); none",
    )
    asr: Literal["auto", "on", "off"] = Field(
        "auto",
        description="speech recognition of clips without a subtitle. auto: if there is a whisper service, or its "
        "weights are on this machine (`merrflow models pull faster-whisper-base`)",
    )
    translate: Literal["en", "off"] = Field(
        "off",
        description="en: subtitles that are not English are translated by the reasoning model, beside the original "
        "(the packaged one cannot: docs/models.md)",
    )
    layout: str = Field(
        "",
        description="whose tables --transcripts, --labels and lists of clips are: meld, mer2023, ... (docs/inputs.md)",
    )
    table_encoding: str = Field("", description="encoding of these tables, such as gb18030; empty to find it")
    neutral_sample: float = Field(
        0.1, ge=0, le=1, description="share of the neutral clips that become records, drawn by a seeded hash"
    )
    seed: int = Field(0, description="seed of everything that is drawn")
    max_clip_seconds: float = Field(600.0, gt=0, description="longer clips fail")
    max_pixels: int = Field(
        7680 * 4320,
        gt=0,
        description="clips with larger frames fail; openface-au has its own limit, MERRFLOW_OPENFACE_AU_MAX_PIXELS",
    )
    subtitle_encoding: str = Field(
        "",
        description="encoding of subtitle files that are not Unicode, such as gb18030 or cp1251; empty to find it out",
    )
    audio_language: str = Field(
        "",
        description="language of the sound track to hear, if a clip has several: an ISO 639 code such as zh or deu; "
        "empty for the track that a player would play",
    )
    subtitle_language: str = Field(
        "",
        description="language of subtitle files and tracks to prefer where a clip has several, such as en or zho",
    )
    shard_size: int = Field(256, ge=1, le=1000, description="clips in one Prefect task")
    clips_at_once: int = Field(0, ge=0, description="clips in work at the same time; 0 for a good number")
    connect_seconds: float = Field(
        15.0, gt=0, le=LONGEST_WAIT, description="how long a service may take to answer at first"
    )
    ready_seconds: float = Field(
        600.0, gt=0, le=LONGEST_WAIT, description="how long a service may take to load its model"
    )
    call_seconds: float = Field(900.0, gt=0, le=LONGEST_WAIT, description="deadline of one call")
    retry_seconds: float = Field(
        180.0, gt=0, le=LONGEST_WAIT, description="how long a call is tried again while a service is away"
    )
    prefect_idle_seconds: float = Field(
        600.0,
        ge=0,
        le=LONGEST_WAIT,
        description="how long a Prefect server that a run started waits for the next run; 0: it ends with the run",
    )
    reports_url: str = Field(
        "",
        description="address at which people open the reports that `merrflow worker` serves, such as "
        "https://reports.example; empty for its port on this machine",
    )
    ledger_url: str = Field(
        "", repr=False, description="SQLAlchemy URL of the ledger; empty for ledger.db in the output folder"
    )

    @field_validator("*")
    @classmethod
    def _has_no_zero_byte(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str | Path) and "\0" in str(text):  # which no file, host or password can have
            raise ValueError("holds a zero byte")
        return value

    @field_validator("witness", mode="before")
    @classmethod
    def _is_one_text(cls, value: Any) -> Any:
        return " ".join(map(str, value)) if isinstance(value, list | tuple) else value  # of --witness, or a YAML list

    @field_validator("witness")
    @classmethod
    def _names_engines(cls, value: str) -> str:
        second_engines(value)
        return value

    @field_validator("witness_judge")
    @classmethod
    def _is_a_judge(cls, value: str) -> str:
        if value not in ("rules", "model") and ":" not in value:
            raise ValueError("is not rules, model or HOST:PORT")
        return value

    @field_validator("asr", "translate", mode="before")
    @classmethod
    def _is_a_word(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value  # YAML's on and off

    @model_validator(mode="after")
    def _scores_where_the_model_labels(self) -> RunSettings:
        if self.labels_from == "model" and self.label_scores == "none":
            raise ValueError("labels_from: model needs label_scores: all or modalities")
        return self

    @field_validator("audio_language", "subtitle_language")
    @classmethod
    def _is_a_language(cls, value: str) -> str:
        if value and not language_of(value):
            raise ValueError("is no code of a language by ISO 639, such as en or zho")
        return language_of(value)

    @field_validator("subtitle_encoding")
    @classmethod
    def _is_an_encoding(cls, value: str) -> str:
        try:
            "".encode(value or "ascii")
        except (LookupError, ValueError):
            raise ValueError("is not an encoding of text that Python knows, such as gb18030 or cp1251") from None
        return codecs.lookup(value).name if value else ""

    @field_validator("reports_url")
    @classmethod
    def _is_an_address_of_pages(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@<>()\[\]\\]+(/[^\s?#<>()\[\]\\]*)?", value):
            raise ValueError("is not an address such as https://reports.example")
        return value.rstrip("/")

    @field_validator("ledger_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if value:
            from sqlalchemy import make_url
            from sqlalchemy.exc import ArgumentError

            try:
                make_url(value)
            except (ArgumentError, ValueError):  # neither is shown: they may hold the password
                raise ValueError("is not a database URL: postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME") from None
        return value

    @model_validator(mode="after")
    def _credentials_go_together(self) -> RunSettings:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together: set both, or neither")
        if self.tls_cert and not self.tls_ca:
            raise ValueError("tls_cert needs tls_ca: a PEM file, or `system`")
        return self

    def for_embedded_services(self, token: str) -> RunSettings:
        """The same for services that this process started on its loopback: without TLS, and with their own token."""
        plain = {"tls_ca": "", "tls_cert": None, "tls_key": None, "token": SecretStr(token), "token_file": None}
        return self.model_copy(update=plain)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment; `load_settings` adds a YAML file."""
        return init_settings, env_settings

    @property
    def second_engines(self) -> tuple[SecondEngine, ...]:
        """The engines that answer beside the main ones."""
        return second_engines(self.witness)

    def address(self, service: str) -> str:
        """Of a service of the catalog; "" if it is not set."""
        found: str = getattr(self, f"{service.replace('-', '_')}_address")
        return found

    def addresses(self, needed: Collection[str] = NEEDED) -> dict[str, str]:
        """Service name -> host:port of the needed ones, if set. Raises `InputError` if only some are."""
        given = {name: address for name in needed if (address := self.address(name))}
        if given and len(given) < len(needed):
            missing = [SERVICES[name].env_prefix + "ADDRESS" for name in needed if name not in given]
            raise InputError(
                f"some services have an address and some have none: set {', '.join(missing)} too, or none of "
                "them to let merrflow start its embedded services"
            )
        return given
