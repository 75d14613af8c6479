"""The sentences that are measured with."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"

TEXT_COLUMNS = ("text", "sentence")


def sentences(folder: Path | None, count: int) -> list[str]:
    """`count` sentences, drawn evenly from the training files in `folder` and mixed; repeated where there are too few.

    Args:
        folder: Holds `train.csv`, or folders that do; by default the sample corpus. Files without a column called
            `text` or `sentence` are left out.
        count: How many.

    Raises:
        ValueError: No file has sentences.
    """
    root = folder or SAMPLE
    files = sorted([*root.glob("train.csv"), *root.glob("*/train.csv")])
    pools = [texts for texts in map(_texts, files) if texts]
    if not pools:
        raise ValueError(
            "--data must be a folder with a train.csv, or with folders that have one, with a column "
            f"{' or '.join(map(repr, TEXT_COLUMNS))}, found none in {root}. Leave it out for the sample corpus."
        )
    draw = random.Random(0)  # noqa: S311  # the same texts every time
    for pool in pools:
        draw.shuffle(pool)
    found = list(_in_turn(pools, count))
    draw.shuffle(found)
    return found


def _texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        column = next((name for name in TEXT_COLUMNS if name in (reader.fieldnames or ())), None)
        return [row[column] for row in reader if (row[column] or "").strip()] if column else []


def _in_turn(pools: list[list[str]], count: int) -> Iterator[str]:
    for number in range(count):
        pool = pools[number % len(pools)]
        yield pool[number // len(pools) % len(pool)]
