"""What the bus keeps in PostgreSQL."""
