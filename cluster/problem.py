"""What the operator did not expect, as one sentence that says what to do."""


class StackProblem(Exception):
    """The stack cannot start or go on. The text is one clear sentence for the terminal."""
