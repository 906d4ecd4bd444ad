"""What the Task sage decides. Pure: no I/O, no clock, no Ray.

``change``      what a decision amounts to: tasks, their events, relations
``lifecycle``   one task and its states
``relations``   how tasks hang together, and what must wait
``deliveries``  what other sages' events make of tasks
"""
