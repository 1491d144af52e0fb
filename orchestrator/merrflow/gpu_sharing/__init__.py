"""One GPU for models that do not fit on it together: a run in phases, each with the containers it needs.

`plan` says which services share a phase, `containers` starts and stops them through Docker, `described` is what each of
them says of itself without loading, `turns` goes through the phases, `sharing` puts it together.
"""

from merrflow.gpu_sharing.plan import Phase, Plan, parse_memory
from merrflow.gpu_sharing.sharing import Sharing, open_sharing
from merrflow.gpu_sharing.turns import Turns

__all__ = ["Phase", "Plan", "Sharing", "Turns", "open_sharing", "parse_memory"]
