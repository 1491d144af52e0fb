"""One GPU for models that do not fit on it together: a run in phases, each with the containers that it needs.

`plan` decides which services share a phase, `containers` starts and stops them through Docker, `described` is what each
service reports without loading its model, `phases` goes through the phases, `setup` puts it together.
"""

from merrflow.pipeline.gpu_phases.phases import GpuPhases
from merrflow.pipeline.gpu_phases.plan import Phase, Plan, parse_memory
from merrflow.pipeline.gpu_phases.setup import Sharing, open_sharing

__all__ = ["GpuPhases", "Phase", "Plan", "Sharing", "open_sharing", "parse_memory"]
