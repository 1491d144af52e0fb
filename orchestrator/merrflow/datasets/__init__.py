"""Finished records: curation, evaluation, mining, export and the report."""
