"""The plan as a table."""

from __future__ import annotations

from rich.table import Table

from merrflow.pipeline.gpu_phases.plan import Plan, gib


def plan_table(plan: Plan) -> Table:
    """One row per phase: what is on the card, how much memory that takes, and which containers are stopped."""
    title = f"GPU memory {gib(plan.memory)}, {gib(plan.reserve)} of it in reserve"
    shown = Table("phase", "on the GPU", "takes up to", "of", "stopped meanwhile", title=title, title_justify="left")
    for number, phase in enumerate(plan.phases, 1):
        stopped = [name for name in plan.on_gpu if name not in phase]
        shown.add_row(
            str(number),
            ", ".join(phase.services) or "-",
            gib(phase.bytes),
            gib(plan.limit),
            ", ".join(stopped) or "-",
        )
    if plan.throughout:
        shown.caption = f"without a GPU, in every phase that needs them: {', '.join(plan.throughout)}"
        shown.caption_justify = "left"
    return shown
