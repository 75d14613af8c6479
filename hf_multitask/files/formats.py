"""Formats of the files that rows are read from and written to, by the suffix of their name."""

from pathlib import Path

COMPRESSIONS = ("gz", "bz2", "xz", "zst", "zip")
"""Suffixes behind that of the format, of files that are uncompressed while they are read."""

READ = ("csv", "tsv", "jsonl", "parquet")

WRITTEN = ("csv", "jsonl", "parquet")


def format_suffix(path: Path) -> str:
    """The suffix that tells a file's format: `csv` for `rows.csv.gz`; empty where there is none."""
    suffixes = [suffix[1:].lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def input_format(path: Path) -> str:
    """The format of a file to read: `csv` for `rows.csv.gz`.

    Raises:
        ValueError: There is no such file, or its format is not known.
    """
    if not path.is_file():
        raise ValueError(f"The input must be a file, found none at {path}. Correct the path.")
    found = format_suffix(path)
    compressed = path.suffix[1:].lower() in COMPRESSIONS
    if found not in READ or (compressed and found == "parquet"):
        raise ValueError(
            f"The input must be one of {', '.join(READ)} by its name, of which all but parquet may be compressed "
            f"({', '.join(COMPRESSIONS)}), found {path.name}. Rename or convert it."
        )
    return found


def output_format(path: Path) -> str:
    """The format of a file to write.

    Raises:
        ValueError: It is not known.
    """
    suffix = path.suffix[1:].lower()
    if suffix not in WRITTEN:
        raise ValueError(f"The output must be one of {', '.join(WRITTEN)} by its name, found {path.name}. Rename it.")
    return suffix
