"""`guild`: what a user of a running guild does from a shell."""

import typer

from cluster.jobs.evaluate import evaluate_command
from cluster.jobs.ingest import ingest_command
from cluster.jobs.reembed import reembed_command

app = typer.Typer(help="What a user of a running guild does from a shell.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """The commands share the project's settings.

    See docs/INGESTION.md, docs/EVALUATION.md and docs/REEMBEDDING.md.
    """


app.command("ingest")(ingest_command)
app.command("evaluate")(evaluate_command)
app.command("reembed")(reembed_command)


def main() -> None:
    """The entry point of the `guild` command."""
    app()


if __name__ == "__main__":
    main()
