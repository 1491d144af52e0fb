"""What a finished run is written out as. Every exporter reads the ledger and writes whole files or none.

`everything.write_all` writes the files that every run ends with; `build.export` writes one dataset format, of
`build.FORMATS`, as a folder of its own. Each file's writer is a `contract.Writer`.
"""
