"""Facial Action Coding System: units, phrases and rules, all from versioned data files in this folder."""

from merrflow.core.datafile import DataFileError
from merrflow.facs.lexicon import Lexicon, load_lexicon
from merrflow.facs.rule_files import load_rules, packaged_rules
from merrflow.facs.rules import PeakRules, Rule, RuleSet, UnknownLabel
from merrflow.facs.units import ActionUnit, action_units, expressive

__all__ = [
    "ActionUnit",
    "DataFileError",
    "Lexicon",
    "PeakRules",
    "Rule",
    "RuleSet",
    "UnknownLabel",
    "action_units",
    "expressive",
    "load_lexicon",
    "load_rules",
    "packaged_rules",
]
