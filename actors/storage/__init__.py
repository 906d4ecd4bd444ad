"""PostgreSQL and Redis: transactions, the event log, the inbox, migrations."""
