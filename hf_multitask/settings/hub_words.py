"""Words for the head of a model card, in the form in which the Hub reads them."""

import re
from collections.abc import Sequence

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.IGNORECASE)
"""An SPDX identifier, or one of the Hub's own words, such as `other`."""

LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual|code")
"""A code of ISO 639-1, 639-2 or 639-3, or what the Hub has in place of one."""


def check_license(license_word: str | None) -> None:
    """Raise unless `license_word` is one, or `None`.

    Raises:
        ValueError: It is a name or a sentence.
    """
    if license_word is not None and not LICENSE.fullmatch(license_word):
        raise ValueError(
            f"license must be an SPDX identifier or a word of the Hub's, found {license_word!r}. Write apache-2.0, mit "
            "or cc-by-4.0, for instance, or other."
        )


def check_languages(languages: Sequence[str]) -> None:
    """Raise unless all `languages` are codes.

    Raises:
        ValueError: One is a name.
    """
    for language in languages:
        if not LANGUAGE.fullmatch(language):
            raise ValueError(
                f"language must be a code of ISO 639, or a list of them, found {language!r}. Write en for English, for "
                "instance, or multilingual."
            )
