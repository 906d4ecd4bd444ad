"""Judges the history of a run: was anything lost, doubled, put out of order, or made up?

Pure. Clients write down every operation as they begin and end it; observers tell what they saw,
in the order in which it took effect; `judge` compares the two and assumes nothing of an operation
whose outcome is unknown.
"""

from benchmarks.guildcheck.checks import Anomaly, Kind, Observer, Sighting, Verdict, judge
from benchmarks.guildcheck.history import Entry, HistoryError, Phase, Publishing, fold

__all__ = [
    "Anomaly",
    "Entry",
    "HistoryError",
    "Kind",
    "Observer",
    "Phase",
    "Publishing",
    "Sighting",
    "Verdict",
    "fold",
    "judge",
]
