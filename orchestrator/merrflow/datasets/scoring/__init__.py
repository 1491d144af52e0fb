"""Scores of finished records without references: claims against clues, and measures of the text (docs/scoring.md)."""
