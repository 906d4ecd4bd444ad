"""`guild`: what a user of a running guild does from a shell."""

import typer

from cluster.jobs.ingest import ingest_command

app = typer.Typer(help="What a user of a running guild does from a shell.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """The commands below share the settings of the project: see docs/INGESTION.md."""


app.command("ingest")(ingest_command)


def main() -> None:
    """The entry point of the `guild` command."""
    app()


if __name__ == "__main__":
    main()
