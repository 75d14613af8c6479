"""The rows of local json and jsonl files as a dataset, each cell as it stands there.

The reader of `datasets` takes the type of a column from the first ten megabytes of the first file, and changes what
comes later into it: strings get quotes where one of them is a number, and are dates where all look like some.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from .json_columns import json_features
from .json_rows import json_rows

CHUNK = 1_000
"""Rows that are held at a time."""


@dataclass
class JsonFiles(datasets.BuilderConfig):  # type: ignore[misc]
    """Which files are read.

    Args:
        files: Their paths.
        stamps: Of each, its time and size, so that a changed file is read again.
        features: The columns and their types.
    """

    files: Sequence[str] = ()
    stamps: Sequence[tuple[int, int]] = ()
    features: datasets.Features | None = None


class JsonDataset(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Makes the dataset of [`JsonFiles`]."""

    BUILDER_CONFIG_CLASS = JsonFiles

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, _: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name="train", gen_kwargs={"files": list(self.config.files)})]

    def _generate_tables(self, files: list[str]) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        schema = self.config.features.arrow_schema
        for place, file in enumerate(files):
            rows = json_rows(file)
            for part in itertools.count():
                chunk = list(itertools.islice(rows, CHUNK))
                if not chunk:
                    break
                cells = [
                    pa.array(
                        [None if pa.types.is_null(field.type) else row.get(field.name) for row in chunk], field.type
                    )
                    for field in schema
                ]
                yield (place, part), pa.Table.from_arrays(cells, schema=schema)


def load_json(files: Sequence[Path], columns: Sequence[str], streaming: bool = False) -> Any:
    """The rows of the files, as a `Dataset`; where it is `streaming`, as an `IterableDataset` with a part per file.

    All rows are gone through once before: see [`json_features`].

    Args:
        files: Their paths.
        columns: The columns that are used, each once.
        streaming: Whether rows are read while they are needed.

    Raises:
        ValueError: There is no row, or a file cannot be read.
        MixedColumnError: A column holds values of several kinds.
    """
    features = json_features(files, columns)
    stats = [file.stat() for file in files]
    builder = JsonDataset(
        dataset_name="json_rows",
        files=[str(file.absolute()) for file in files],
        stamps=[(stat.st_mtime_ns, stat.st_size) for stat in stats],
        features=features,
        hash="1",  # to be raised when the same files are to give other rows
    )
    if streaming:
        return builder.as_streaming_dataset(split="train")
    builder.download_and_prepare()
    return builder.as_dataset(split="train")
