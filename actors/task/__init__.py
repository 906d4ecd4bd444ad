"""The Task Sage: what is to be done."""
