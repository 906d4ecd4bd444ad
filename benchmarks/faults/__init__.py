"""Kills what the guild stands on while events flow, and judges what came of them.

Four writers publish to 200 aggregates and repeat what they do not know the outcome of. Consumers
make each event take effect: a client that pulls, and members of a pool. Meanwhile a seeded plan
ends processes with SIGKILL at random moments and empties Redis. In the end `guildcheck` compares
what the writers were told with the log and with every effect.
"""
