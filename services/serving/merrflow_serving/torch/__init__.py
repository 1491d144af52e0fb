"""What engines built on torch share: device, number format, memory, and batches that fit.

Except in `padding`, torch is not imported until it is needed, so that a service can read its settings without it.
"""
