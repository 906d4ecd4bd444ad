"""One replica of the real gateway without Ray: what `benchmarks.auth` puts load on."""

import sys

import uvicorn

from actors.runtime import logs
from actors.runtime.pool import Asker
from actors.settings import GatewaySettings, GuildSettings, RateSettings
from serve_app.http import create_app

_PLENTY = RateSettings(principal=10**9, guild=10**9)
CONFIG = GuildSettings(gateway=GatewaySettings(rate=_PLENTY))
"""Every request is counted and none is refused; the signing secret is in the environment."""


def main() -> None:
    """Serves on the loopback port that the command line names, until it is ended."""
    logs.configure(CONFIG.log_level)
    pools: dict[str, Asker] = {}
    app = create_app(CONFIG, pools.__getitem__)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
