"""`tito capstone`: the commands, on top of functions that take paths."""

from pathlib import Path
from typing import Annotated

import typer

from tito.capstone.recipe import REFERENCES, USUAL, Limits, read_recipe, reference
from tito.capstone.run import describe, page, record_of
from tito.capstone.run import run as make
from tito.capstone.verify import Refused, read_records, save_record
from tito.capstone.verify import board as board_of
from tito.capstone.verify import verify as check
from tito.files import write_whole
from tito.student_commands import plain_errors, style

app = typer.Typer(help="A model of your own within a budget, measured, verified and compared.", **style)

Held = Annotated[Path, typer.Option("--held-out", help="The text that nobody trains on.")]
Text = Annotated[Path, typer.Option(help="The text to train on.")]
Seconds = Annotated[float, typer.Option(help="CPU seconds that training may take.")]
Records = Annotated[
    Path | None, typer.Option(help="Folder of records of verified submissions.", show_default=False)
]


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a file of JSON.")],
    text: Text,
    held_out: Held,
    to: Annotated[Path, typer.Option(help="A new folder, which becomes the submission.")],
    records: Records = None,
    seconds: Seconds = USUAL.seconds,
) -> None:
    """Train, compress and measure what a recipe says, and write it down as a submission.

    Exit status: 0 done; 2 no recipe, or over the budget.
    """
    with plain_errors():
        limits = Limits(seconds=seconds)
        known, others = read_recipe(recipe), read_records(records)
        report = make(known, text, held_out, to, limits)
        print(describe(report))
        print(f"\nsubmission: {to}, all on one page: {page(to, known, report, others, limits)}")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="The submission.")],
    held_out: Held,
    records: Records = None,
    seconds: Seconds = USUAL.seconds,
) -> None:
    """Make a submission again from its recipe, and accept it if that gives what it says.

    Nothing that is handed in runs. The record, which goes into the folder of records, has the numbers measured here.

    Exit status: 0 accepted; 1 refused, with the reason; 2 bad input.
    """
    with plain_errors():
        try:
            record = check(folder, held_out, Limits(seconds=seconds))
        except Refused as error:
            print(f"REFUSED: {str(error)}")
            raise typer.Exit(1) from None
        print(describe(record))
        print("ACCEPTED" + (f": {save_record(records, record)}" if records else ""))


@app.command()
def frontier(
    text: Text,
    held_out: Held,
    records: Annotated[Path, typer.Option(help="Folder of records, to which these are added.")],
    seed: Annotated[int, typer.Option(help="Of the first weights and the batches.", min=0)] = 0,
    seconds: Seconds = USUAL.seconds,
) -> None:
    """Make the reference's models: what a plain choice gets for little of the budget, and for most of it (15 minutes).

    Exit status: 0 done; 2 bad input.
    """
    with plain_errors():
        for name in REFERENCES:
            record = record_of(reference(name, seed), text, held_out, Limits(seconds=seconds))
            print(f"{record['name']}\n{describe(record)}\n{save_record(records, record)}\n", flush=True)


@app.command()
def board(
    records: Annotated[Path, typer.Argument(help="Folder of records.")],
    to: Annotated[Path | None, typer.Option(help="Write the table into this file.", show_default=False)] = None,
) -> None:
    """Print the leaderboard: all verified submissions in a folder of records, the lowest loss first.

    Exit status: 0 done; 2 no records, or of different texts.
    """
    with plain_errors():
        table = board_of(records)
        if to:
            write_whole(to, (table + "\n").encode())
        print(table)
