"""What engines built on torch share: device, number format, memory, and batches that fit.

Nothing here imports torch until it is needed, so that a service learns its settings without it.
"""
