"""Formats of the files that rows are read from and written to, by the suffix of their name."""

from pathlib import Path

COMPRESSIONS = ("gz", "bz2", "xz", "zst", "zip")
"""Suffixes behind that of the format, of files that are uncompressed while they are read."""

READ = ("csv", "tsv", "jsonl", "parquet")

WRITTEN = ("csv", "jsonl", "parquet")


def input_format(path: Path) -> str:
    """The format of a file to read: `csv` for `rows.csv.gz`.

    Raises:
        ValueError: There is no such file, or its format is not known.
    """
    if not path.is_file():
        raise ValueError(f"The input must be a file, found none at {path}. Correct the path.")
    suffixes = [suffix[1:].lower() for suffix in path.suffixes]
    compressed = bool(suffixes) and suffixes[-1] in COMPRESSIONS
    found = (suffixes[:-1] if compressed else suffixes)[-1:]
    if not found or found[0] not in READ or (compressed and found == ["parquet"]):
        raise ValueError(
            f"The input must be one of {', '.join(READ)} by its name, of which all but parquet may be compressed "
            f"({', '.join(COMPRESSIONS)}), found {path.name}. Rename or convert it."
        )
    return found[0]


def output_format(path: Path) -> str:
    """The format of a file to write.

    Raises:
        ValueError: It is not known.
    """
    suffix = path.suffix[1:].lower()
    if suffix not in WRITTEN:
        raise ValueError(f"The output must be one of {', '.join(WRITTEN)} by its name, found {path.name}. Rename it.")
    return suffix
