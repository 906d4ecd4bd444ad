"""The local stack, its clients, jobs and deployments."""

from pathlib import Path

from pydantic import Field, SecretStr

from actors.sections.base import Section


class ApiSettings(Section):
    """How commands and jobs reach the API; without a URL they use the local stack of `data_dir`."""

    url: str = Field(default="", description="without a path")
    login: str = Field(default="", description="of a person; or a client's id and secret")
    password: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    patience_s: float = Field(
        default=300.0, gt=0, description="one request is repeated for so long"
    )
    timeout_s: float = Field(default=60.0, gt=0, description="one attempt")


class JobSettings(Section):
    """Ingestion of files and evaluation: `python -m cluster.jobs.…`. Sizes in bytes."""

    state_dir: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "state" / "elders-guild",
        description="journals: what was confirmed, for each root and prefix",
    )
    max_file_bytes: int = Field(default=64 << 20, ge=1, description="larger files are refused")
    max_unpacked_bytes: int = Field(default=128 << 20, ge=1, description="of one Word document")
    max_parts: int = Field(default=5_000, ge=1, description="pages, or parts of an archive")
    max_depth: int = Field(default=64, ge=1, description="folders within folders")
    parsers: int = Field(default=2, ge=1, le=64, description="files read at a time")
    parser_memory_bytes: int = Field(default=1 << 30, ge=64 << 20, description="of each process")
    parse_timeout_s: float = Field(default=60.0, gt=0, description="for one file")
    files_each_parser: int = Field(default=500, ge=1, description="then its process is replaced")
    batch_documents: int = Field(default=50, ge=1, le=100)
    batch_bytes: int = Field(default=2 << 20, ge=1, description="of text; one document may be more")
    batches_in_flight: int = Field(default=3, ge=1, le=32)
    batch_linger_s: float = Field(default=0.2, ge=0, description="a batch waits for the next file")
    document_attempts: int = Field(default=8, ge=1, description="while the guild is busy")
    document_pause_s: float = Field(default=0.5, gt=0, description="doubles with each attempt")
    deletes_in_flight: int = Field(default=8, ge=1, le=64)
    errors_listed: int = Field(default=1_000, ge=1, description="more are only counted")
    progress_every_s: float = Field(default=5.0, gt=0, description="where there is no terminal")
    searchable_within_s: float = Field(default=86_400.0, gt=0, description="--wait gives up then")
    searchable_poll_s: float = Field(default=1.0, gt=0)
    questions_in_flight: int = Field(default=4, ge=1, le=64)
    max_line_bytes: int = Field(default=8 << 20, ge=1, description="of a data set's file")
    reembed_rounds: int = Field(
        default=50, ge=1, description="over a guild whose passages change all the while"
    )
    reembed_cleared: int = Field(
        default=1_000, ge=1, description="vectors put in place at a time behind a switch"
    )
    switch_timeout_s: float = Field(
        default=50.0, gt=0, description="of a statement that counts all passages of a guild"
    )
    cluster_url: str = Field(
        default="", description="Ray's dashboard, which takes jobs; empty: the local stack's"
    )
    cluster_token: SecretStr = Field(default=SecretStr(""), description="Ray's")
    stopped_within_s: float = Field(default=30.0, gt=0, description="a job that is told to end")
    replay_within_s: float = Field(default=86_400.0, gt=0, description="then it is not followed")
    replay_poll_s: float = Field(default=1.0, gt=0)
    rebuild_within_s: float = Field(
        default=3_600.0, gt=0, description="for all members of a pool to come back"
    )
    rebuild_poll_s: float = Field(default=0.5, gt=0)
    task_every_s: float = Field(
        default=5.0, gt=0, description="between two changes of the task that shows a job"
    )
    backup_within_s: float = Field(
        default=86_400.0, gt=0, description="a backup or a restore is given up then"
    )
    backup_processes: int = Field(default=2, ge=1, le=32, description="that dump at a time")


class StackSettings(Section):
    """The local stack: one supervisor process and what it starts. Not used in production."""

    http_port: int = Field(default=8000, ge=1, le=65535)
    start_timeout_s: float = Field(default=180.0, gt=0, description="from the command to ready")
    service_timeout_s: float = Field(default=60.0, gt=0, description="one server's start")
    stop_timeout_s: float = Field(default=15.0, gt=0, description="one server's orderly stop")
    ray_attempts: int = Field(default=3, ge=1, description="a busy machine fails Ray's start")
    check_period_s: float = Field(default=0.25, gt=0, description="how soon a death is noticed")
    restarts: int = Field(default=20, ge=1, description="of one part within the window")
    restart_window_s: float = Field(default=300.0, gt=0)
    restart_delay_s: float = Field(default=0.1, ge=0, description="doubles with each restart")
    restart_delay_max_s: float = Field(default=5.0, gt=0)
    restart_rest_s: float = Field(
        default=60.0, gt=0, description="how long what died too often stays down; doubles"
    )
    restart_rest_max_s: float = Field(default=600.0, gt=0)
    max_connections: int = Field(default=200, ge=20, description="of the embedded PostgreSQL")
    valkey_memory_mib: int = Field(default=256, ge=16)
    object_store_mib: int = Field(default=256, ge=80)


class RolloutSettings(Section):
    """Two generations on one machine behind one nginx: `scripts/deploy.sh`."""

    ports: tuple[int, int] = Field(default=(8001, 8002), description="of blue and of green")
    nginx_config: Path = Field(
        default=Path("/etc/nginx/guild/nginx.conf"),
        description="upstream.conf beside it is written anew with each switch",
    )
    front_url: str = Field(default="", description="the public address; empty: gateway.issuer")
    ready_timeout_s: float = Field(default=300.0, gt=0, description="from the start to all checks")
    poll_s: float = Field(default=0.5, gt=0)
    request_timeout_s: float = Field(default=5.0, gt=0, description="of one check")
    front_checks: int = Field(default=5, ge=1, description="in a row, after a switch")
    switch_timeout_s: float = Field(
        default=5.0, gt=0, description="until those went well; then the switch is undone"
    )
    drain_s: float = Field(
        default=20.0, ge=0, description="from a switch back to the end of the one that answered"
    )
    stop_timeout_s: float = Field(default=60.0, gt=0, description="of a generation")
