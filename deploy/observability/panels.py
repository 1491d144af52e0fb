"""What the dashboard shows: rows of panels, each with its queries. dashboard.py makes Grafana's file of it."""

from __future__ import annotations

from dataclasses import dataclass

SELECT = 'service=~"$service",instance=~"$replica"'
WORK = f'{SELECT},rpc!="Info"'
FAILED = 'code!~"OK|CANCELLED|INVALID_ARGUMENT|RESOURCE_EXHAUSTED"'


@dataclass(frozen=True)
class Panel:
    title: str
    text: str  # what it shows, and what to make of it
    queries: tuple[tuple[str, str], ...]  # PromQL and legend
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    top: float | None = None  # of the axis
    thresholds: tuple[tuple[float | None, str], ...] = ()


def rate(metric: str, by: str, select: str = SELECT) -> str:
    return f"sum by ({by}) (rate({metric}{{{select}}}[$__rate_interval]))"


# A batch counts when it ends, so a short window can hold more seconds than it lasts.
BUSY = f"clamp_max({rate('merrflow_model_seconds_sum', 'service, instance')}, 1)"


def quantile(share: float, histogram: str, select: str = SELECT) -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'service, le', select)})"


def latency(histogram: str, select: str = SELECT) -> tuple[tuple[str, str], ...]:
    return (quantile(0.5, histogram, select), "{{service}} half"), (
        quantile(0.95, histogram, select),
        "{{service}} 95 %",
    )


def stat(title: str, text: str, query: str, unit: str = "short", *, bad: float | None = None) -> Panel:
    steps = ((None, "green"),) if bad is None else ((None, "green"), (bad, "red"))
    return Panel(title, text, ((query, ""),), unit, "stat", width=3, height=4, thresholds=steps)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            stat("Replicas serving", "Of those chosen above.", f"sum(merrflow_ready{{{SELECT}}})"),
            stat(
                "Not serving",
                "Down, loading, draining, or with an engine that cannot be used: merrflow services says which.",
                f'count(up{{job="merrflow",{SELECT}}} == 0 or merrflow_ready{{{SELECT}}} == 0) or vector(0)',
                bad=1,
            ),
            stat(
                "Clips per minute",
                "Answers of openface-au, which is asked once for each new clip.",
                'sum(rate(merrflow_requests_total{service="openface-au",rpc!="Info",code="OK"}[$__rate_interval]))'
                " * 60",
            ),
            stat("Requests waiting", "In all queues.", f"sum(merrflow_queue_length{{{SELECT}}})"),
            stat(
                "Fullest queue",
                "Of all replicas. A full one refuses requests.",
                f"max(merrflow_queue_length{{{SELECT}}} / merrflow_queue_capacity{{{SELECT}}})",
                "percentunit",
                bad=0.9,
            ),
            stat(
                "Busiest engine",
                "Share of the time in which the busiest of all replicas works.",
                f"max({BUSY})",
                "percentunit",
            ),
            stat(
                "Failing",
                "Share of the requests that failed by a fault of a service.",
                f"(sum(rate(merrflow_requests_total{{{WORK},{FAILED}}}[$__rate_interval])) or vector(0)) / "
                f"sum(rate(merrflow_requests_total{{{WORK}}}[$__rate_interval]))",
                "percentunit",
                bad=0.05,
            ),
            stat(
                "Alerts",
                "Alerts that are on. Prometheus' page /alerts has what to do.",
                'count(ALERTS{alertstate="firing"}) or vector(0)',
                bad=1,
            ),
        ),
    ),
    (
        "Throughput and errors",
        (
            Panel(
                "Answers per second",
                "Requests answered with a result.",
                ((rate("merrflow_requests_total", "service", f'{WORK},code="OK"'), "{{service}}"),),
                "reqps",
            ),
            Panel(
                "Failures per second",
                "By gRPC status and reason. INVALID_ARGUMENT is bad input; RESOURCE_EXHAUSTED a full queue.",
                (
                    (
                        rate("merrflow_requests_total", "service, code, reason", f'{WORK},code!="OK"'),
                        "{{service}} {{code}} {{reason}}",
                    ),
                ),
                "reqps",
            ),
            Panel(
                "Time to answer",
                "From a request's arrival to its answer: reading the media, waiting, and the model.",
                latency("merrflow_request_seconds", WORK),
                "s",
            ),
        ),
    ),
    (
        "Queue and batches",
        (
            Panel(
                "Queue",
                "Requests that wait, and all in flight: those that wait, are read, or are with the model.",
                (
                    (f"sum by (service) (merrflow_queue_length{{{SELECT}}})", "{{service}} waiting"),
                    (f"sum by (service) (merrflow_requests_in_flight{{{WORK}}})", "{{service}} in flight"),
                ),
            ),
            Panel("Wait for a batch", "What more replicas would shorten.", latency("merrflow_queue_seconds"), "s"),
            Panel(
                "Batch size",
                "Requests in a batch on average, and at most. Small ones under load: the callers send too few at once.",
                (
                    (
                        " / ".join(rate(f"merrflow_batch_size_{part}", "service") for part in ("sum", "count")),
                        "{{service}}",
                    ),
                    (f"max by (service) (merrflow_max_batch_size{{{SELECT}}})", "{{service}} at most"),
                ),
            ),
            Panel("Model time of a batch", "Inside the engine.", latency("merrflow_model_seconds"), "s", width=12),
            Panel(
                "Engine busy",
                "Share of the time in which the engine works. Near 100 %: this service is what the run waits for.",
                ((BUSY, "{{service}} {{instance}}"),),
                "percentunit",
                width=12,
                top=1,
            ),
        ),
    ),
    (
        "GPU (empty on a machine without one)",
        (
            Panel(
                "GPU memory of each service",
                "What each process holds; and the most that it has held.",
                (
                    (f"merrflow_gpu_memory_used_bytes{{{SELECT}}}", "{{service}} {{instance}} {{device}}"),
                    (f"merrflow_gpu_memory_peak_bytes{{{SELECT}}}", "{{service}} {{instance}} {{device}} peak"),
                ),
                "bytes",
            ),
            Panel(
                "GPU memory in use",
                "Of the card, by all its processes.",
                (
                    (
                        f"1 - merrflow_gpu_memory_free_bytes{{{SELECT}}} / merrflow_gpu_memory_total_bytes{{{SELECT}}}",
                        "{{service}} {{instance}} {{device}}",
                    ),
                ),
                "percentunit",
                top=1,
            ),
            Panel(
                "GPU utilization",
                "Share of the time in which the card computes, for whichever process.",
                ((f"merrflow_gpu_utilization_ratio{{{SELECT}}}", "{{service}} {{instance}} {{device}}"),),
                "percentunit",
                top=1,
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "CPU cores",
                "Of each service's process.",
                (
                    (
                        rate("process_cpu_seconds_total", "service, instance", f'job="merrflow",{SELECT}'),
                        "{{service}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Memory",
                "Of each service's process; its limit is in .env.",
                ((f'process_resident_memory_bytes{{job="merrflow",{SELECT}}}', "{{service}} {{instance}}"),),
                "bytes",
            ),
            Panel(
                "Prefect server",
                "Its process: CPU cores, and whether it answers.",
                (
                    ('sum(rate(process_cpu_seconds_total{job="prefect"}[$__rate_interval]))', "CPU cores"),
                    ('up{job="prefect"}', "answers"),
                ),
            ),
            Panel(
                "Who computes",
                "Engine, model and revision of each replica. Replicas of a service must be alike.",
                ((f"merrflow_build_info{{{SELECT}}}", ""),),
                kind="table",
                width=24,
            ),
        ),
    ),
)
