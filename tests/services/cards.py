"""What GPUs of a nominal size offer a process, in bytes: the total of the smallest common models (A10, L4: 22.5 GiB;
A100 and H100 of 80 GB: 79.1 GiB), less what the driver keeps."""

from __future__ import annotations

CARD_24_GB = int(22.0 * (1 << 30))
CARD_80_GB = int(79.0 * (1 << 30))
