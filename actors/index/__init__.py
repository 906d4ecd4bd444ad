"""The search index in memory: a lexical leg, a dense leg, and their fusion. Pure of I/O."""
