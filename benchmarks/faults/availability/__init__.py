"""What clients notice while parts of a stack die, and while it is asked for more than it can do."""
