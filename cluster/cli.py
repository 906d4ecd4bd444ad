"""`guild`: what a user of a running guild does from a shell, and `guild admin` its operator."""

import typer

from cluster import accounts, admin
from cluster.audit import app as audit
from cluster.doctor import doctor_command
from cluster.jobs.backup import app as backup
from cluster.jobs.evaluate import evaluate_command
from cluster.jobs.ingest import ingest_command
from cluster.jobs.job import app as job
from cluster.jobs.load_test import load_test_command
from cluster.jobs.rebuild_index import rebuild_index_command
from cluster.jobs.reembed import reembed_command
from cluster.jobs.replay import replay_command
from cluster.jobs.restore import restore_command
from cluster.pool_sizes import app as pools

app = typer.Typer(help="What a user of a running guild does from a shell.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """The commands share the project's settings.

    See docs/INGESTION.md, docs/EVALUATION.md, docs/REEMBEDDING.md, docs/BACKUP.md,
    docs/IDENTITY.md and docs/SCALING.md.
    """


admin.app.add_typer(accounts.app)
app.add_typer(admin.app, name="admin")
app.command("ingest")(ingest_command)
app.command("evaluate")(evaluate_command)
app.command("reembed")(reembed_command)
app.command("rebuild-index")(rebuild_index_command)
app.command("replay")(replay_command)
app.command("load-test")(load_test_command)
app.add_typer(job, name="job")
app.add_typer(backup, name="backup")
app.command("restore")(restore_command)
app.command("doctor")(doctor_command)
app.add_typer(audit, name="audit")
app.add_typer(pools, name="pools")


def main() -> None:
    """The entry point of the `guild` command."""
    app()


if __name__ == "__main__":
    main()
