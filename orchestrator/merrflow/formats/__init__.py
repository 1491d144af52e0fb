"""Files that people bring: one strict reader for each format."""
