"""`generation_config.json`, in which a model's authors publish how its words are drawn."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from merrflow_serving.errors import NotReady, first_fault
from merrflow_serving.torch.decoding import GREEDY, Decoding

FILE = "generation_config.json"


class GenerationFile(BaseModel):
    """What of the file decides an answer. What it leaves out is as in the transformers (4.31) of the models' code."""

    model_config = ConfigDict(frozen=True)

    do_sample: bool = False
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(50, ge=0)
    repetition_penalty: float = Field(1.0, gt=0)
    max_new_tokens: int = Field(0, ge=0)  # 0: not said

    @property
    def decoding(self) -> Decoding:
        if not self.do_sample:
            return GREEDY.model_copy(update={"repetition_penalty": self.repetition_penalty})
        return Decoding(
            temperature=self.temperature, top_p=self.top_p, top_k=self.top_k, repetition_penalty=self.repetition_penalty
        )


def read_generation_file(folder: Path) -> GenerationFile:
    """Raises `NotReady` with what to do if the folder has none, or one that cannot be used."""
    file = folder / FILE
    hint = "get it with the weights, or set DECODING=greedy"
    try:
        return GenerationFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise NotReady(f"{file}, by which `published` draws, cannot be read ({error.strerror}); {hint}") from error
    except ValidationError as error:
        fault = first_fault(error, "it is no JSON object")
        raise NotReady(f"{file}, by which `published` draws, is wrong: {fault}; {hint}") from error
