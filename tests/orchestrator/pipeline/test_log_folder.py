"""The logs of services that run for one command: there as long as somebody may want to read them."""

from __future__ import annotations

import pytest

from merrflow.pipeline.log_folder import log_folder
from merrflow_serving.errors import EngineFault, InvalidInput, MerrflowError


def test_it_is_gone_after_a_command_that_worked() -> None:
    with log_folder() as folder:
        (folder / "llama3.log").write_text("all is well")
    assert not folder.exists()


@pytest.mark.parametrize("error", [InvalidInput("not a video"), KeyboardInterrupt()])
def test_it_is_gone_after_an_error_that_its_logs_do_not_explain(error: BaseException) -> None:
    with pytest.raises(type(error)), log_folder() as folder:
        raise error
    assert not folder.exists()


def test_a_log_that_an_error_names_can_be_read() -> None:
    with pytest.raises(InvalidInput) as named, log_folder() as folder:
        (folder / "llama3.log").write_text("no licence")
        raise InvalidInput(f"the service cannot start; log: {folder / 'llama3.log'}")
    assert (folder / "llama3.log").read_text() == "no licence"
    assert str(named.value) == f"the service cannot start; log: {folder / 'llama3.log'}"


def test_a_fault_of_an_engine_says_where_its_details_are() -> None:
    with pytest.raises(MerrflowError) as fault, log_folder() as folder:
        raise EngineFault("internal error; the service's log has the details")
    assert folder.is_dir()
    assert str(fault.value) == f"internal error; the service's log has the details; logs: {folder}"
    assert (fault.value.reason, fault.value.code) == (EngineFault.reason, EngineFault.code)
