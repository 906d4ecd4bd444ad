"""What the bus decides, without I/O."""
