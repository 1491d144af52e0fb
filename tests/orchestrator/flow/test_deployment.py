"""What a deployment names is what workers of every version can import."""

from __future__ import annotations

import pytest
from prefect.flows import load_flow_from_entrypoint

from merrflow.flow.annotate import annotate_flow, annotate_shard_flow
from merrflow.flow.deployment import entry_point


@pytest.mark.parametrize(
    ("flow", "name"),
    [(annotate_flow, "merrflow.flow.annotate_flow"), (annotate_shard_flow, "merrflow.flow.annotate_shard_flow")],
)
def test_the_entry_point_is_that_of_earlier_versions_and_leads_to_the_flow(flow, name):
    assert entry_point(flow) == name
    assert load_flow_from_entrypoint(name) is flow
