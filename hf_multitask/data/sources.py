"""From files or a Hub dataset to raw rows, split by split."""

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, load_dataset

from ..files.formats import format_suffix
from ..settings.dataset_settings import SPLITS, DatasetSettings
from .csv_files import check_cells, csv_options
from .json_columns import MixedColumnError
from .json_dataset import load_json
from .split_names import SPLIT_STEMS, by_split, one_by_split, tell_left_over

BUILDERS = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet"}
"""File suffix -> builder of `datasets`."""

STREAMED = ("json", "jsonl", "parquet")
"""Suffixes of the files that are read from the front to the back without a look ahead."""


def load_splits(name: str, settings: DatasetSettings, folder: Path, needs_train: bool = True) -> dict[str, Dataset]:
    """The raw rows of dataset `name`, by split (train, validation, test), those it has.

    Cells of csv and tsv files come as strings, empty ones as `None`: read by type, the labels 1, 2 and (empty) would
    become 1.0, 2.0 and nan, and the text "None" nothing at all.

    Args:
        name: The user's name for the dataset.
        settings: Where the rows come from.
        folder: Where a relative path may start from, besides the working directory.
        needs_train: Whether there must be a train split.

    Raises:
        ValueError: Files are missing, empty or unreadable, or there is no train split, or none at all.
    """
    where = f"datasets.{name}"
    source = _given_path(where, settings)
    path = _local_path(where, source, folder, settings)
    if path is None:
        splits = _load_from_hub(where, settings)
    else:
        files = _files(where, path, settings)
        splits = {split: _load_files(where, split, of_split, settings) for split, of_split in files.items()}
    _check_splits(where, splits, source, needs_train)
    return splits


def load_stream(name: str, settings: DatasetSettings, folder: Path) -> tuple[IterableDataset, dict[str, Dataset]]:
    """The raw training rows of dataset `name`, read while they are needed, and its other splits, read whole.

    Args:
        name: The user's name for the dataset.
        settings: Where the rows come from.
        folder: Where a relative path may start from, besides the working directory.

    Raises:
        ValueError: Files are missing, or of a format that cannot be streamed, or there is no train split.
    """
    where = f"datasets.{name}"
    source = _given_path(where, settings)
    path = _local_path(where, source, folder, settings)
    if path is None:
        streams = _load_from_hub(where, settings, streaming=True)
        _check_has_train(where, streams, source)
        others = {
            split: Dataset.from_list(list(rows), features=rows.features)
            for split, rows in streams.items()
            if split != "train"
        }
        stream = streams["train"]
    else:
        files = _files(where, path, settings)
        _check_has_train(where, files, source)
        others = {
            split: _load_files(where, split, of_split, settings)
            for split, of_split in files.items()
            if split != "train"
        }
        stream = _load_files(where, "train", files["train"], settings, streaming=True)
    _check_rows(where, others)
    return stream, others


def given_splits(
    name: str, settings: DatasetSettings, rows: Dataset | DatasetDict, needs_train: bool = True
) -> dict[str, Dataset]:
    """The raw rows of dataset `name`, given from Python, by split; those of a `Dataset` are for training.

    Args:
        name: The user's name for the dataset.
        settings: Of the dataset.
        rows: The rows, or the splits with them.
        needs_train: Whether there must be a train split.

    Raises:
        ValueError: They are of another type, there is no train split, or one has no row, or text that is not UTF-8.
    """
    where = f"datasets.{name}"
    if not isinstance(rows, Dataset | DatasetDict):
        raise ValueError(
            f"{where}: its rows must be a datasets.Dataset or DatasetDict, found {type(rows).__name__}. Make one, such "
            "as with Dataset.from_list."
        )
    named = {"train": rows} if isinstance(rows, Dataset) else dict(rows)
    names = settings.splits or one_by_split(where, list(named))
    missing = [split for split in names.values() if split not in named]
    if missing:
        raise ValueError(f"{where}.splits must name splits of its rows, {list(named)}, found {missing}. Correct them.")
    splits = {ours: named[theirs].with_format(None) for ours, theirs in names.items()}
    _check_splits(where, splits, "the given rows", needs_train)
    return splits


def _given_path(where: str, settings: DatasetSettings) -> str:
    if settings.path is None:
        raise ValueError(
            f"{where}: the key 'path' must be given, found none. Add it; where data_files names each file, it is the "
            "folder that these names start from, path: . for the working directory."
        )
    return settings.path


def _check_splits(where: str, splits: Mapping[str, Dataset], source: str, needs_train: bool) -> None:
    if needs_train or not splits:
        _check_has_train(where, splits, source)
    _check_rows(where, splits)


def _check_has_train(where: str, splits: Mapping[str, Any], source: str) -> None:
    if "train" not in splits:
        raise ValueError(
            f"{where}: there must be a train split, found {list(splits) or 'no split'} in {source}. Call its "
            "file train.csv (or .tsv, .json, .jsonl, .parquet), name its files in data_files, or its split in splits."
        )


def _check_rows(where: str, splits: Mapping[str, Dataset]) -> None:
    for split, dataset in splits.items():
        if len(dataset) == 0:
            raise ValueError(f"{where}, split {split!r}: there must be at least one row, found none. Remove the split.")
        try:
            dataset.data.validate(full=True)
        except ValueError as error:
            raise ValueError(
                f"{where}, split {split!r}: its texts must be UTF-8, found: {error}. Correct the file."
            ) from error


def _local_path(where: str, path: str, folder: Path, settings: DatasetSettings) -> Path | None:
    """The file or folder that `path` names, from here or from `folder`; `None` for a Hub id."""
    for candidate in (Path(path).expanduser(), folder / path):
        if candidate.exists():
            if of_hub := [key for key in ("name", "revision") if getattr(settings, key) is not None]:
                raise ValueError(
                    f"{where}: {of_hub} must be left out where path names a file or folder, found {candidate}. Remove "
                    "them; or if a data set of the Hub is meant, move that aside."
                )
            return candidate
    looks_local = path.startswith((".", "/", "~")) or format_suffix(Path(path)) in BUILDERS or path.count("/") > 1
    if looks_local:
        raise ValueError(
            f"{where}.path must exist, found no {path!r} in the working directory or in {folder}. Correct it."
        )
    return None


def _files(where: str, path: Path, settings: DatasetSettings) -> dict[str, list[Path]]:
    """The files of each split."""
    if settings.data_files is not None:
        given = settings.data_files if isinstance(settings.data_files, dict) else {"train": settings.data_files}
        names = {split: [value] if isinstance(value, str) else value for split, value in given.items()}
        return {split: [path / file for file in files] for split, files in names.items()}
    if path.is_file():
        if settings.splits:
            raise ValueError(
                f"{where}.splits must be left out where path is one file, found {settings.splits}. Name the file in "
                f"data_files, such as {{test: {path.name}}}, and its folder in path."
            )
        return {"train": [path]}
    return _files_of_folder(where, path, settings.splits or {})


def _files_of_folder(where: str, folder: Path, named: Mapping[str, str]) -> dict[str, list[Path]]:
    """The file of each split: the one that is `named`, or else called as the split may be."""
    data = [file for file in sorted(folder.iterdir()) if format_suffix(file) in BUILDERS]
    by_name = {file.name: file for file in data}
    of_splits = by_split([name for name in by_name if _stem(name) not in named.values()], _stem)
    found: dict[str, list[Path]] = {}
    for split in SPLITS:
        stems = (named[split],) if split in named else SPLIT_STEMS[split]
        names = (
            [name for name in by_name if _stem(name) == named[split]] if split in named else of_splits.get(split, [])
        )
        if len(names) > 1 or (split in named and not names):
            raise ValueError(
                f"{where}, split {split!r}: one file called {' or '.join(stems)} must hold the split, "
                f"found {names or 'none'} in {folder}. Name the right ones in data_files."
            )
        if names:
            found[split] = [by_name[names[0]]]
    if not named:
        read = [file for files in found.values() for file in files]
        # Files of JSON beside rows in another format mostly tell of the dataset.
        rows = {*BUILDERS} - {"json"} | {format_suffix(file) for file in read}
        left_over = [
            file.name
            for file in data
            if file not in read and format_suffix(file) in rows and not file.name.startswith((".", "_"))
        ]
        tell_left_over(f"{where}, {folder}", left_over, "name those that are to be used in data_files")
    return found


def _stem(name: str) -> str:
    return name.split(".")[0]


def _load_files(where: str, split: str, files: list[Path], settings: DatasetSettings, streaming: bool = False) -> Any:
    """The rows of `files`, as a `Dataset`; where it is `streaming`, as an `IterableDataset`."""
    suffixes = {format_suffix(file) for file in files}
    missing = [str(file) for file in files if not file.is_file()]
    if missing or len(suffixes) != 1 or not suffixes <= set(BUILDERS):
        raise ValueError(
            f"{where}, split {split!r}: its files must exist and be all csv, tsv, json, jsonl or parquet, "
            f"found {missing or list(map(str, files))}. Correct path or data_files."
        )
    (suffix,) = suffixes
    names = [glob.escape(str(file)) for file in files]  # they would be read as patterns
    if streaming and suffix not in STREAMED:
        raise ValueError(
            f"{where}, split {split!r}: files that are streamed must be {', '.join(STREAMED[:-1])} or {STREAMED[-1]}, "
            f"found {suffix}: in a part of such a file, a row that is too long shifts others. Convert them."
        )
    try:
        if BUILDERS[suffix] == "json":
            return load_json(files, settings.columns, streaming)
        if streaming:
            return load_dataset(BUILDERS[suffix], data_files=names, split="train", streaming=True)
        return load_dataset(BUILDERS[suffix], data_files=names, split="train", **_options(files, suffix))
    except MixedColumnError as error:
        raise ValueError(f"{where}, split {split!r}: {error}") from None
    except Exception as error:  # each format, and each compression, has its own
        raise ValueError(
            f"{where}, split {split!r}: {', '.join(map(str, files))} must be readable {suffix} in UTF-8 with at least "
            f"one row, found: {_cause(error)}. Correct the file."
        ) from error


def _options(files: list[Path], suffix: str) -> dict[str, Any]:
    """What to tell the reader of `suffix` files."""
    if BUILDERS[suffix] == "csv":
        check_cells(files, suffix)
        return csv_options(files, suffix)
    return {}


def _cause(error: Exception) -> str:
    """The reason that a reader gives, without the layers around it."""
    text = str(error.__cause__ or error).strip().rstrip(".")
    return "no row" if not text or "corresponds to no data" in text else text


def _load_from_hub(where: str, settings: DatasetSettings, streaming: bool = False) -> dict[str, Any]:
    """The splits, each a `Dataset`; where it is `streaming`, an `IterableDataset`."""
    options: Any = {"name": settings.name, "revision": settings.revision, "data_files": settings.data_files}
    options |= {"streaming": streaming}
    try:
        if settings.splits:
            return {
                ours: load_dataset(settings.path, split=theirs, **options) for ours, theirs in settings.splits.items()
            }
        splits = load_dataset(settings.path, **options)
    except Exception as error:  # the Hub's own, those of the network and of every format
        raise ValueError(
            f"{where}: {settings.path!r} must be a local path or a dataset on the Hub, found: {_cause(error)}. "
            "Correct path, name, revision, data_files or splits."
        ) from error
    return {ours: splits[theirs] for ours, theirs in one_by_split(where, list(splits)).items()}
