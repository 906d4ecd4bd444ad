"""The HTTP gateway: parse, make one message, render."""
