"""`make fuzz-pql`: coverage-guided inputs for lexer, parser, checker and JSON reader.

python -m tests.fuzz [--seconds 600] [FILE ...]

What was found is kept in .cache/fuzz: `corpus` for the next run, and the input of a failure, which
`python -m tests.fuzz FILE` repeats; a failure belongs into test_properties.py once it is mended.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

FOLDER = Path(".cache/fuzz")
_LONGEST = 2_000
_SECONDS = 600
_HANG_SECONDS = 60
_SHOWN_EVERY = 30.0


def main() -> None:
    parser = argparse.ArgumentParser("make fuzz-pql", description=__doc__)
    parser.add_argument("--seconds", type=int, default=_SECONDS)
    parser.add_argument("--seed", type=int, default=0, help="0 for another one each time")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to repeat")
    given = parser.parse_args()
    if given.files:
        _repeat(given.files)
    else:
        _fuzz(given.seconds, given.seed)


def _repeat(files: list[Path]) -> None:
    from tests.fuzz.properties import hold

    for file in files:
        hold(file.read_bytes())
        print(f"{file}: nothing wrong")


def _fuzz(seconds: int, seed: int) -> None:
    import atheris

    # Before anything of them is imported: what comes in later would not be instrumented.
    with atheris.instrument_imports(include=["app.pql", "app.engine"]):
        from tests.fuzz.inputs import changed, write_seeds
        from tests.fuzz.properties import hold

    def mutated(data: bytes, longest: int, number: int) -> bytes:
        rng = random.Random(number)
        found: bytes = atheris.Mutate(data, len(data)) if rng.random() < 0.3 else changed(data, rng)
        return found[:longest]

    started = shown = time.monotonic()
    count = 0

    def told(data: bytes) -> None:
        nonlocal count, shown
        hold(data)
        count += 1
        if time.monotonic() > shown + _SHOWN_EVERY:
            shown = time.monotonic()
            print(f"… {shown - started:.0f} s, {count:,} inputs", flush=True)

    corpus, seeds = FOLDER / "corpus", FOLDER / "seeds"
    corpus.mkdir(parents=True, exist_ok=True)
    write_seeds(seeds)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-timeout={_HANG_SECONDS}",
        f"-artifact_prefix={FOLDER}/",
        f"-seed={seed}",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], told, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
