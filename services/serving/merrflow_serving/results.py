"""What an engine has to answer, and what is said if it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from merrflow_serving.errors import EngineFault, MerrflowError, one_line


@dataclass(frozen=True)
class Expected:
    """The results that a service takes from its engine."""

    engine: str = "the engine"  # what messages call it: a plug-in by its name and distribution
    types: Mapping[type, type] = field(default_factory=dict)  # of an item -> of its result

    def one_each(self, items: Sequence[Any], results: object) -> list[Any]:
        """A result of its type, or a `MerrflowError`, for each item. Raises `EngineFault` if they cannot be matched."""
        if not isinstance(results, list | tuple):
            raise EngineFault(f"{self.engine} gave no list of results, but {type(results).__name__}")
        if len(results) != len(items):
            raise EngineFault(f"{self.engine} gave {len(results)} results for {len(items)} items")
        return [self._result(item, result) for item, result in zip(items, results, strict=True)]

    def fault(self, error: BaseException) -> EngineFault:
        """What the engine raised for an item, as an error that a caller can be told."""
        return EngineFault(f"{self.engine} failed on this input: {one_line(error)}")

    def error(self, error: MerrflowError) -> MerrflowError:
        """An error that the engine gave or raised, or what is wrong with it: a call cannot fail with the code OK."""
        if isinstance(error.code, grpc.StatusCode) and error.code is not grpc.StatusCode.OK:
            return error
        return EngineFault(f"{self.engine} gave an error of the code {error.code!r:.40}: {one_line(error)}")

    def _result(self, item: object, result: object) -> object:
        if result is None:
            return EngineFault(f"{self.engine} gave no result for this input")
        if isinstance(result, MerrflowError):
            return self.error(result)
        if isinstance(result, BaseException):
            return self.fault(result)  # a future does not accept every exception, and SystemExit would end the service
        wanted = next((kind for of, kind in self.types.items() if isinstance(item, of)), object)
        if not isinstance(result, wanted):
            return EngineFault(f"{self.engine} gave {type(result).__name__} for this input, not {wanted.__name__}")
        return result
