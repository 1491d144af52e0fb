"""Codes of languages, as files and people write them."""

from __future__ import annotations


def language_of(code: str) -> str:
    """The language in its shortest code, so that `zh`, `chi`, `zho` and `zh-Hans` are the same; "" if it says nothing.

    The two codes of ISO 639-2 for one language, and the languages of a macrolanguage (`cmn` of `zh`), are joined as
    IETF's registry has them.
    """
    if not code.strip():
        return ""
    import langcodes  # 30 ms, and most files have one track

    try:
        short = str(langcodes.standardize_tag(code.strip(), macro=True)).split("-", 1)[0]
    except (ValueError, AttributeError):  # LanguageTagError is a ValueError
        return ""
    known = short not in ("und", "mul", "zxx", "mis") and langcodes.tag_is_valid(short)
    return short if known else ""
