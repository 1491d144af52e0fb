"""What a finished run is written out as. Every exporter reads the ledger and writes whole files or none."""
