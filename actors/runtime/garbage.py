"""Python's collector in a process that lives long and answers quickly."""

import gc


def settle(threshold: int) -> None:
    """What there is now, modules above all, is there to stay: the collector passes over it.

    A full collection looks at several hundred thousand objects where Ray is loaded, and everybody
    waits for a tenth of a second or more. Call it once, when all is imported.

    Args:
        threshold: objects that are made, and not gone again, before the young ones are looked at.
    """
    gc.collect()
    gc.freeze()
    _, middle, old = gc.get_threshold()
    gc.set_threshold(threshold, middle, old)
