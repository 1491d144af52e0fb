"""What everything else builds on: records, settings, inputs, errors, fingerprints, files. Imports no other room."""
