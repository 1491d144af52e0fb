"""What people said of records in other tools, read back as verdicts: `merrflow import`."""
