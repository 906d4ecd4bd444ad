"""Processes of several steps over several sages, driven by the log.

``definition``     what a kind of saga is
``engine``         decides, purely: the state, an event, what has been done → what is to be done
``host``           does it: asks the pools, commits the state with the delivery's inbox row
``store``          what is kept; ``postgres`` keeps it
``incident_loop``  the guild's main job as such a kind
"""
