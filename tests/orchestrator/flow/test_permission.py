"""Permission to send media beyond this network reaches the process that works on the clips."""

from __future__ import annotations

import json
from dataclasses import asdict
from inspect import signature

from merrflow.flow.annotate import annotate_flow
from merrflow.flow.shards import request_from
from merrflow.flow.submit import _parameters
from merrflow.pipeline.request import Request

REQUEST = Request(("clips",), "out", overrides={"allow_remote": True})


def test_it_goes_with_each_shard_to_its_worker():
    handed_out = json.loads(json.dumps(asdict(REQUEST) | {"inputs": []}))
    assert request_from(handed_out).settings().allow_remote


def test_it_goes_to_a_prefect_server_as_a_parameter_that_the_flow_has():
    assert _parameters(REQUEST)["allow_remote"] is True
    assert "allow_remote" in signature(annotate_flow.fn).parameters


def test_it_is_no_part_of_a_request_that_does_not_give_it():
    assert not Request(("clips",), "out").settings().allow_remote
    assert "allow_remote" not in _parameters(Request(("clips",), "out"))
