"""Which access levels are open to whom. Pure.

``public`` is open to everybody of the guild, ``protected`` to everybody but guests. ``private`` and
``restricted`` are open to the owner of the thing and to administrators, who may read all four; no
search finds them. What one may not read is answered as if it were not there.
"""

from actors.runtime.message import Caller, Permission

PUBLIC = "public"
PROTECTED = "protected"
OPEN = frozenset({PUBLIC, PROTECTED})
LEVELS = OPEN | {"private", "restricted"}

_GUEST = frozenset({Permission.READ})


def is_guest(caller: Caller) -> bool:
    """Whether the caller holds nothing but ``read``."""
    return caller.permissions <= _GUEST


def shared_with(caller: Caller) -> frozenset[str]:
    """The levels that the caller sees without being the owner; an administrator sees all."""
    if is_guest(caller):
        return frozenset({PUBLIC})
    return LEVELS if caller.may(Permission.ADMIN) else OPEN
