"""The network policies let through what the components need, and nothing else: every pair is computed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from merrflow_serving.catalog import METRICS_PORT, SERVICES
from tests.deploy.kubernetes_objects import OVERLAYS, Object, of_kind, pods, render

SERVER, DATABASE = 4200, 5432
GPU = ("minigpt-v2", "qwen-audio", "llama3")


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or an address outside the cluster."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""  # empty: not a pod
    address: str = ""
    ports: tuple[tuple[str, int], ...] = ()  # that it listens on
    closed: bool = False  # in our namespace, where policies hold


def ends(objects: tuple[Object, ...]) -> list[End]:
    """Our pods, and those around them that they might meet."""
    ours = []
    for pod in pods(objects):
        listens = tuple(
            ("TCP", port["containerPort"]) for container in pod.containers for port in container.get("ports", [])
        )
        ours.append(End(pod.owner.partition("/")[2], pod.labels, "merrflow", ports=listens, closed=True))
    return [
        *ours,
        End("dns", {"k8s-app": "kube-dns"}, "kube-system", ports=(("UDP", 53), ("TCP", 53))),
        End("prometheus", {"app": "prometheus"}, "monitoring", ports=(("TCP", 9090),)),
        End("stranger", {"app.kubernetes.io/component": "run"}, "default", ports=(("TCP", 80), ("TCP", 443))),
        End("kubernetes-api", address="10.96.0.1", ports=(("TCP", 443), ("TCP", 6443))),
        End("metadata", address="169.254.169.254", ports=(("TCP", 80), ("TCP", 443))),
        End("hub", address="18.164.174.1", ports=(("TCP", 443), ("TCP", 80))),
        End("hub6", address="2600:9000:2000::1", ports=(("TCP", 443),)),
    ]


def selects(selector: dict, labels: dict[str, str]) -> bool:
    """Kubernetes' label selector."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    for one in selector.get("matchExpressions", []):
        assert one["operator"] == "In"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: dict, end: End) -> bool:
    """Whether an entry of `from` or `to` is about this end."""
    assert set(peer) <= {"podSelector", "namespaceSelector", "ipBlock"}
    if "ipBlock" in peer:
        if not end.address:
            return False  # pods' addresses may lie in a block, but ours name no such block
        address = ipaddress.ip_address(end.address)
        within = [address in ipaddress.ip_network(block) for block in peer["ipBlock"].get("except", [])]
        return address in ipaddress.ip_network(peer["ipBlock"]["cidr"]) and not any(within)
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace}):
            return False
    elif end.namespace != "merrflow":
        return False
    return selects(peer.get("podSelector", {}), end.labels)


def has_port(rule: dict, protocol: str, port: int) -> bool:
    if "ports" not in rule:
        return True
    return any(
        one.get("protocol", "TCP") == protocol and one["port"] <= port <= one.get("endPort", one["port"])
        for one in rule["ports"]
    )


def passes(policies: Iterable[Object], direction: str, one: End, other: End, protocol: str, port: int) -> bool:
    """Whether `one` may be reached by (Ingress) or may reach (Egress) `other`, by the policies that select it."""
    if not one.closed:
        return True
    mine = [item["spec"] for item in policies if selects(item["spec"]["podSelector"], one.labels)]
    mine = [spec for spec in mine if direction in spec["policyTypes"]]
    if not mine:
        return True
    word = "from" if direction == "Ingress" else "to"
    return any(
        has_port(rule, protocol, port) and (word not in rule or any(is_peer(peer, other) for peer in rule[word]))
        for spec in mine
        for rule in spec.get(direction.lower(), [])
    )


def flows(overlay: str) -> set[tuple[str, str, int]]:
    """(who, whom, port) of all connections that would come about, with one end among ours."""
    objects = render(overlay)
    policies = of_kind(objects, "NetworkPolicy").values()
    around = ends(objects)
    return {
        (one.name, other.name, port)
        for one in around
        for other in around
        for protocol, port in other.ports
        if one is not other
        and (one.closed or other.closed)
        and passes(policies, "Egress", one, other, protocol, port)
        and passes(policies, "Ingress", other, one, protocol, port)
    }


def needed(overlay: str) -> set[tuple[str, str, int]]:
    """What the components need, and no more."""
    runs = ("run", "show-services")
    found = {(run, name, entry.port) for run in runs for name, entry in SERVICES.items()}
    found |= {("prometheus", name, METRICS_PORT) for name in SERVICES}
    found |= {(who, "prefect", SERVER) for who in ("worker", *runs)}
    found |= {(who, "postgres", DATABASE) for who in ("prefect", "worker", *runs)}
    found |= {(who, "dns", 53) for who in ("prefect", "worker", *runs)}
    found |= {("worker", "kubernetes-api", port) for port in (443, 6443)}
    # A policy cannot name the API server, so the worker reaches that port anywhere outside its namespace.
    found |= {("worker", whom, 443) for whom in ("stranger", "metadata", "hub", "hub6")}
    if "gpu" in overlay:
        found |= {(name, "dns", 53) for name in (*GPU, "weights")}
        found |= {(name, whom, 443) for name in (*GPU, "weights") for whom in ("hub", "hub6")}
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_exactly_the_needed_flows_pass(overlay):
    found, wanted = flows(overlay), needed(overlay)
    assert found - wanted == set(), "too open"
    assert wanted - found == set(), "too closed"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_under_policies_both_ways(overlay):
    objects = render(overlay)
    for end in ends(objects):
        if end.closed:
            for direction in ("Ingress", "Egress"):
                assert any(
                    direction in item["spec"]["policyTypes"] and selects(item["spec"]["podSelector"], end.labels)
                    for item in of_kind(objects, "NetworkPolicy").values()
                )


def test_without_its_policy_a_flow_is_gone():
    """The evaluator sees what a policy does."""
    objects = render("base")
    policies = [item for name, item in of_kind(objects, "NetworkPolicy").items() if name != "runs"]
    by_name = {end.name: end for end in ends(objects)}
    run, llama3 = by_name["run"], by_name["llama3"]
    port = SERVICES["llama3"].port
    assert not passes(policies, "Egress", run, llama3, "TCP", port)
    assert passes(policies, "Ingress", llama3, run, "TCP", port)
    assert not passes(policies, "Ingress", llama3, by_name["stranger"], "TCP", port)
