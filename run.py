"""Gridparley's command line: `python run.py slovenia` runs a day; `list`, `check` and `exchanges` tell about it,
`show` and `observe` let one watch it.

Exit codes: 0 done; 1 a trace with faults; 2 wrong usage; 3 a run that could not be made, for the reason printed;
4 an error of this program; 130 stopped from the keyboard; 141 nobody reads on (`| head`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

# The matrices here are small: more threads than one only get in the way of each other, the more so on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Arrow's own allocator keeps 20 MB for a table of 4.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

RUNS = Path("runs")
PAGE_SPEED = 20.0
COMMANDS = (
    "list",
    "check",
    "exchanges",
    "accounts",
    "fcr-log",
    "signals",
    "show",
    "observe",
    "replay",
    "keep",
    "play",
    "exam",
    "schema",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says, and returns the exit code."""
    try:
        try:
            return _does(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("run.py: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # What is still to be written goes nowhere, so that Python does not complain on its way out.
        with open(os.devnull, "w") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere.fileno(), stream.fileno())
        return 141


def _does(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        options = _command_parser(words[0]).parse_args(words[1:])
        does = {
            "list": _list,
            "check": _check,
            "exchanges": _exchanges,
            "accounts": _accounts,
            "fcr-log": _fcr_log,
            "signals": _signals,
            "show": _show,
            "observe": _observe,
            "replay": _replay,
            "keep": _keep,
            "play": _play,
            "exam": _exam,
            "schema": _schema,
        }
        return does[words[0]](options)
    return _run(_run_parser().parse_args(words))


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Runs a demonstrator of EV4EU D5.1 as a swarm of agents, and writes a run folder with a report.",
        epilog="Other commands: run.py list | run.py check RUN | run.py exchanges [--json] | run.py fcr-log RUN"
        " | run.py signals RUN | run.py show RUN | run.py observe JID | run.py replay RUN"
        " | run.py keep RUN CASE | run.py play CASE | run.py exam ROLE | run.py schema",
    )
    parser.add_argument("scenario", help="a scenario's name (see `run.py list`), or the path of a TOML file")
    parser.add_argument("--days", type=int, metavar="N", help="days to run (default: the scenario's)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything that is drawn (the scenario's)")
    parser.add_argument(
        "--speed", type=float, metavar="X", help="X times wall time instead of virtual time; 1 for real hardware"
    )
    parser.add_argument(
        "--pace",
        type=float,
        metavar="X",
        help="virtual time at X times wall time, to watch by: the run is the same, byte for byte, at every pace",
    )
    parser.add_argument(
        "--driver-page",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help=f"be a driver on a web page of this machine (default: a free port); --speed is {PAGE_SPEED:g} then",
    )
    parser.add_argument(
        "--web",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help="watch the run on a web page of this machine (default: a free port), with a clock to pause and step",
    )
    parser.add_argument("--web-host", metavar="ADDRESS", help="with --web: where it is served (default: loopback)")
    parser.add_argument(
        "--watcher",
        nargs="+",
        action="extend",
        default=[],
        metavar="JID",
        help="with --server: who may chat with the observer, or a domain for everybody there",
    )
    parser.add_argument(
        "--outside",
        action="append",
        default=[],
        metavar="NAME[=JID]",
        help="leave this actor to a system of your own, and wait until it has registered (docs/outside.md)",
    )
    parser.add_argument("--outside-wait", type=float, metavar="S", help="so many seconds of the wall (default: 120)")
    parser.add_argument("--wire", action="store_true", help="put every message on the XMPP server")
    parser.add_argument("--server", metavar="HOST[:PORT]", help="an XMPP server instead of the embedded one")
    parser.add_argument("--port", type=int, metavar="N", help="port of the embedded server (default: a free one)")
    parser.add_argument("--accounts", type=Path, metavar="FILE", help="with --server: TOML, jid = password")
    parser.add_argument("--admit", type=Path, metavar="FILE", help="TOML, jid = password: who else may log in")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="with --server: the CA that signed its certificate")
    parser.add_argument("--ledger", metavar="URL", help="database of the ledger (default: ledger.sqlite in DIR)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: runs/SCENARIO-N)")
    parser.add_argument("--quiet", action="store_true", help="no progress, only errors")
    return parser


def _command_parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"run.py {command}")
    if command == "check":
        parser.add_argument("trace", type=Path, metavar="RUN_FOLDER", help="the folder of a run, or a trace.jsonl")
    if command == "exchanges":
        parser.add_argument("--json", action="store_true", help="as JSON")
    if command == "accounts":
        parser.add_argument("scenario", help="a scenario's name, or the path of a TOML file")
        parser.add_argument("--domain", default="localhost", help="the XMPP domain of the server")
    if command == "fcr-log":
        parser.description = "Writes the log of frequency control in the files that the Nordic rules want (6.2)."
        parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="the folder of a run")
        parser.add_argument("--resource", metavar="NAME", help="this one alone (default: each)")
        parser.add_argument("--from", dest="start", metavar="ISO", help="from this time on; UTC without an offset")
        parser.add_argument("--to", dest="end", metavar="ISO", help="the end, not part of it")
        parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: fcr-log-files in the folder)")
    if command == "signals":
        parser.description = "Writes the DSO's signals (4.2.1, 5.2.1) in the JSON that EV4EU's own platform imports."
        parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="the folder of a run")
        parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: signals in the folder)")
    if command == "show":
        from environment import showing

        showing.add_options(parser)
    if command == "observe":
        from environment import observing

        observing.add_options(parser)
    if command == "replay":
        from environment.replay import command as replaying

        replaying.add_options(parser)
    if command == "keep":
        from environment.replay import keeping

        keeping.add_options(parser)
    if command == "play":
        from environment.exam import command as examining

        examining.add_play_options(parser)
    if command == "exam":
        from environment.exam import command as examining

        examining.add_exam_options(parser)
    if command == "schema":
        parser.description = (
            "Writes what a system of your own needs: AsyncAPI of each role, JSON Schema of each content."
        )
        parser.add_argument(
            "--out", type=Path, metavar="DIR", default=Path("schema"), help="where to (default: schema)"
        )
    return parser


def _run(options: argparse.Namespace) -> int:
    from environment import console, launcher, scenario
    from environment.options import LOOPBACK, OUTSIDE_WAIT_S, WEB_SPEED, Options

    out = options.out or _free_folder(Path(options.scenario).stem)
    try:
        loaded = scenario.load(options.scenario, days=options.days, seed=options.seed)
        source = Path(options.scenario)
        done = console.show(
            lambda progress: launcher.launch(
                loaded,
                Options(
                    out=out,
                    speed=PAGE_SPEED if options.speed is None and options.driver_page is not None else options.speed,
                    wire=options.wire,
                    server=options.server,
                    port=options.port,
                    accounts=options.accounts,
                    admit=options.admit,
                    ca=options.ca,
                    ledger_url=options.ledger,
                    driver_page=options.driver_page,
                    web=options.web,
                    web_host=options.web_host or LOOPBACK,
                    pace=_pace(options, WEB_SPEED),
                    watchers=tuple(options.watcher),
                    outside=tuple(options.outside),
                    outside_wait_s=OUTSIDE_WAIT_S if options.outside_wait is None else options.outside_wait,
                    base=source.parent if source.suffix == ".toml" else scenario.SCENARIOS,
                ),
                progress,
            ),
            title=loaded.scenario.title,
            quiet=options.quiet,
        )
    except KeyboardInterrupt:
        print("run.py: stopped; the run folder holds what was said so far", file=sys.stderr)
        return 130
    except launcher.EXPECTED as error:
        for line in str(error).splitlines():
            print(f"run.py: {line}", file=sys.stderr)
        return 3
    except Exception as error:
        details = _write_details(out, "".join(traceback.format_exception(error)))
        print(f"run.py: an error of this program, {type(error).__name__}; details in {details}", file=sys.stderr)
        return 4
    if not options.quiet:
        console.closing(done)
    if done.page is not None:
        done.page.stay()
    return 0


def _pace(options: argparse.Namespace, usual: float) -> float | None:
    """How fast virtual time passes: as asked for; else the `usual` way where somebody looks at the page."""
    if options.pace is not None or options.web is None or options.speed is not None or options.outside:
        given: float | None = options.pace
        return given
    return None if options.driver_page is not None else usual


def _write_details(out: Path, text: str) -> Path:
    """The file that tells what went wrong: in the run folder, or where temporary files are."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        details = out / "error.txt"
        details.write_text(text, encoding="utf-8")
    except OSError:
        with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False, encoding="utf-8") as file:
            file.write(text)
            details = Path(file.name)
    return details


def _free_folder(name: str) -> Path:
    number = 1
    while (RUNS / f"{name}-{number}").exists():
        number += 1
    return RUNS / f"{name}-{number}"


def _list(options: argparse.Namespace) -> int:
    from environment import scenario

    broken = 0
    for name in scenario.available():
        try:
            print(f"{name:12} {scenario.load(name).scenario.title}")
        except scenario.ScenarioError as error:
            broken = 3
            print(f"run.py: {str(error).splitlines()[0]}", file=sys.stderr)
    return broken


def _accounts(options: argparse.Namespace) -> int:
    """Prints an accounts file with new passwords, to make the accounts on a server with and to run with."""
    from environment import casts, scenario
    from environment.server import generated_passwords

    try:
        loaded = scenario.load(options.scenario)
    except scenario.ScenarioError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    for jid, password in generated_passwords(casts.roles(loaded, options.domain)).items():
        print(f'"{jid}" = "{password}"')
    return 0


def _check(options: argparse.Namespace) -> int:
    from environment import checking
    from environment.run_folder import TRACE

    trace: Path = options.trace
    return checking.check_file(trace / TRACE if trace.is_dir() else trace, print)


def _fcr_log(options: argparse.Namespace) -> int:
    from environment import fcr_export

    try:
        written = fcr_export.export(
            options.run,
            resource=options.resource,
            start=fcr_export.instant("--from", options.start) if options.start else None,
            end=fcr_export.instant("--to", options.end) if options.end else None,
            out=options.out,
            notice=lambda line: print(f"run.py: {line}", file=sys.stderr),
        )
    except fcr_export.ExportError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    for path in written:
        print(path)
    return 0


def _signals(options: argparse.Namespace) -> int:
    from environment import ov2xmp_export
    from environment.ov2xmp_form import SignalError

    try:
        written = ov2xmp_export.export(
            options.run, out=options.out, notice=lambda line: print(f"run.py: {line}", file=sys.stderr)
        )
    except SignalError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    for path in written:
        print(path)
    return 0


def _show(options: argparse.Namespace) -> int:
    from environment import showing

    return showing.show(options)


def _observe(options: argparse.Namespace) -> int:
    from environment import observing

    return observing.observe(options)


def _replay(options: argparse.Namespace) -> int:
    from environment.replay import command

    return command.replay_command(options)


def _keep(options: argparse.Namespace) -> int:
    from environment.replay import keeping

    return keeping.keep_command(options)


def _play(options: argparse.Namespace) -> int:
    from environment.exam import command

    return command.play_command(options)


def _exam(options: argparse.Namespace) -> int:
    from environment.exam import command

    return command.exam_command(options)


def _schema(options: argparse.Namespace) -> int:
    from environment import schema_files

    try:
        written = schema_files.write(options.out)
    except schema_files.SchemaFilesError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    print(f"{len(written)} files in {options.out}")
    return 0


def _exchanges(options: argparse.Namespace) -> int:
    from protocols import catalogue

    print(catalogue.listing(as_json=options.json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
