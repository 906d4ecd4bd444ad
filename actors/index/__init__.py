"""Search in memory: one index a guild, a lexical and a dense leg, and their fusion.

Knows no sage and no database; what it holds can be built again from the passages.
"""
