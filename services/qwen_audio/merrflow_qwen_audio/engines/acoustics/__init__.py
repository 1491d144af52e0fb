"""Measurements on sound: plain functions from samples at 16 kHz to numbers with units."""
