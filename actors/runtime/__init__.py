"""The actor runtime: messages, mailboxes, pools, their supervisor. Knows no sage by name."""
