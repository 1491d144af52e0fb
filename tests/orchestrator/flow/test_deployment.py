"""What a deployment names is what workers of every version can import."""

from __future__ import annotations

import pytest
from prefect.flows import load_flow_from_entrypoint

from merrflow.flow.annotate import annotate_flow, annotate_shard_flow
from merrflow.flow.deployment import entry_point, explain


@pytest.mark.parametrize(
    ("flow", "name"),
    [(annotate_flow, "merrflow.flow.annotate_flow"), (annotate_shard_flow, "merrflow.flow.annotate_shard_flow")],
)
def test_the_entry_point_is_that_of_earlier_versions_and_leads_to_the_flow(flow, name):
    assert entry_point(flow) == name
    assert load_flow_from_entrypoint(name) is flow


async def test_the_form_says_of_each_setting_what_is_so_if_it_is_left_empty():
    deployment = await annotate_flow.ato_deployment("annotate")
    explain(deployment)
    fields = deployment._parameter_openapi_schema.properties
    assert fields["allow_remote"]["description"].endswith("Empty: no.")
    assert fields["witness"]["description"].endswith("Empty: nothing.")
    assert fields["translate"]["description"].startswith("en: ")
    assert fields["seed"]["description"] == "Seed of everything that is drawn. Empty: 0."
