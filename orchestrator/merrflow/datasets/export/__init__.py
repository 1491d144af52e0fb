"""What a finished run is written out as. Every exporter reads the ledger and writes whole files or none.

`everything.write_all` writes the files that every run ends with; `export.export` writes one dataset format, of those in
`registry`, as a folder of its own. A format is a subclass of `Format`, and makes a `Writer`, which takes each `Entry`.
"""

from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.writer import Writer

__all__ = ["Entry", "Format", "FormatOptions", "Target", "Writer"]
