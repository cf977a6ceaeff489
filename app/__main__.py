"""The command line: `segmentation …`, also `python -m app …`.

A command imports what it runs when it runs: `--help` answers at once, and the generator does not
load Faust. What the API refuses ends in one clear message and status 1, what a person did wrong in
status 2, a service that does not answer in status 3; only a bug shows a stack trace.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.adapters.cli.control.failures import Failed
from app.adapters.cli.control.families import Root, add_families
from app.config import Settings, read_settings, setting_table
from app.domain.errors import SegmentationError, UserError

_FAILED = 1
_USER_ERROR = 2
_SERVICE_ERROR = 3

cli = typer.Typer(
    name="segmentation",
    cls=Root,
    help="Streaming segmentation over Kafka and Redis. Settings: `segmentation settings`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
add_families(cli)


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        cli()
    except SegmentationError as error:
        sys.stderr.write(f"segmentation: {error.message}\n")
        sys.exit(_status_of(error))


def _status_of(error: SegmentationError) -> int:
    if isinstance(error, Failed):
        return _FAILED
    return _USER_ERROR if isinstance(error, UserError) else _SERVICE_ERROR


@cli.callback()
def _root(context: typer.Context) -> None:
    from app.bootstrap.client import api_access

    context.obj = lambda: api_access(read_settings())


def _start(process: str) -> Settings:
    """Read the settings and set up logging; the first thing of every command that runs."""
    from app.adapters.logs import configure_logging

    settings = read_settings()
    configure_logging(settings.log_level, settings.log_format, process)
    return settings


@cli.command()
def worker() -> None:
    """Run a worker: applies profile updates and publishes membership changes."""
    settings = _start("worker")
    from app.bootstrap.worker import build_worker

    build_worker(settings).run()


@cli.command()
def api() -> None:
    """Run the control plane: definitions and memberships over HTTP."""
    settings = _start("api")
    from app.bootstrap.control_plane import run_api

    run_api(settings)


@cli.command()
def topics(
    check: Annotated[
        bool, typer.Option("--check", help="Create nothing; status 1 if anything differs.")
    ] = False,
) -> None:
    """Create the topics that are missing and compare the others with the plan."""
    import asyncio

    from app.adapters.kafka.topics import ensure_topics
    from app.bootstrap.kafka import kafka_options, topic_plan

    settings = _start("topics")
    report = asyncio.run(
        ensure_topics(kafka_options(settings), topic_plan(settings), check_only=check)
    )
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(0 if report.is_as_planned else 1)


@cli.command()
def recover(
    from_beginning: Annotated[
        bool,
        typer.Option(
            "--from-beginning",
            help="Apply the updates that Kafka still has again, instead of memberships alone.",
        ),
    ] = False,
) -> None:
    """Put back what Kafka knows after Redis lost everything; the workers must be stopped."""
    import asyncio

    from app.bootstrap.recover import recover_partitions

    settings = _start("recover")
    report = asyncio.run(recover_partitions(settings, from_beginning=from_beginning))
    typer.echo("\n".join(report.lines()))


@cli.command()
def local(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Partitions per topic. [default: SEG_PARTITIONS, 8]"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where data is kept; a second run continues. [default: .data/local]"),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, with the credential, when all is ready.")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(help="Bootstrap servers of a Kafka that runs already.")
    ] = None,
    redis: Annotated[str | None, typer.Option(help="URL of a Redis that runs already.")] = None,
    api_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the API; 0 takes any free one.")
    ] = 0,
) -> None:
    """Run Kafka, Redis, workers and the API on this machine, supervised."""
    settings = _start("local")
    from app.bootstrap.local import run_local

    raise typer.Exit(
        run_local(
            settings,
            workers=workers,
            partitions=partitions,
            data_dir=data_dir,
            ready_file=ready_file,
            kafka=kafka,
            redis=redis,
            api_port=api_port,
        )
    )


@cli.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long; Ctrl-C ends it sooner.")] = 60,
    rate: Annotated[float, typer.Option(min=1, help="Updates per second.")] = 200,
    profiles: Annotated[int, typer.Option(min=1, help="Customers of the shop.")] = 2_000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal customers and visits.")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live table.")] = False,
) -> None:
    """Watch it work: a local stack, sample definitions, generated events, a live table."""
    settings = _start("demo")
    from app.adapters.cli import demo as command
    from app.adapters.cli.generate import Traffic
    from app.bootstrap.kafka import kafka_access

    options = command.DemoOptions(
        Traffic(profiles=profiles, rate=rate, seed=seed), seconds, workers, plain
    )
    raise typer.Exit(command.run(kafka_access(settings), options))


@cli.command()
def generate(
    profiles: Annotated[int, typer.Option(help="Customers of the shop.")] = 2_000,
    rate: Annotated[float, typer.Option(help="Updates per second.")] = 200,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    count: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal customers and visits.")] = 1,
    stdout: Annotated[
        bool, typer.Option("--stdout", help="Write JSON lines instead of records.")
    ] = False,
) -> None:
    """Produce the profile updates of a made-up shop."""
    settings = _start("generate")
    from app.adapters.cli import generate as command
    from app.bootstrap.kafka import kafka_access

    traffic = command.Traffic(profiles, rate, seconds, count, seed)
    raise typer.Exit(command.run(kafka_access(settings), traffic, stdout=stdout))


@cli.command()
def produce(
    file: Annotated[
        Path | None, typer.Argument(help="JSON lines; standard input if left out, or `-`.")
    ] = None,
) -> None:
    """Send profile updates, one JSON object a line."""
    settings = _start("produce")
    from app.adapters.cli import produce as command
    from app.bootstrap.kafka import kafka_access

    raise typer.Exit(command.run(kafka_access(settings), file))


@cli.command()
def tail(
    source: Annotated[
        str, typer.Argument(help="changes, memberships or dead-letters.")
    ] = "changes",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Also what is there already.")
    ] = False,
    count: Annotated[int | None, typer.Option(help="Stop after so many records.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only records of this profile.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Follow an output topic, as a `read_committed` consumer sees it."""
    settings = _start("tail")
    from app.adapters.cli import tail as command
    from app.bootstrap.kafka import kafka_access

    try:
        followed = command.Source(source)
    except ValueError as error:
        known = ", ".join(command.Source)
        raise typer.BadParameter(f"{source!r} is not one of {known}") from error
    selection = command.Selection(followed, from_beginning, count, profile, json)
    raise typer.Exit(command.run(kafka_access(settings), selection))


@cli.command("settings")
def show_settings() -> None:
    """Show every setting: its value in force and what it means; secrets stay hidden."""
    settings = read_settings()
    for row in setting_table():
        value = getattr(settings, row.name)
        hidden = row.is_secret and value != row.default
        shown = "(set, hidden)" if hidden else value if value != "" else "(unset)"
        typer.echo(f"{row.variable}={shown}\n    {row.doc} Takes {row.kind.expected}.")


@cli.command()
def version() -> None:
    """Show the version."""
    from app import __version__

    typer.echo(__version__)


if __name__ == "__main__":
    main()
