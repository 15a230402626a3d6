"""The page of the exchanges is the one that the code makes."""

from __future__ import annotations

from pathlib import Path

from protocols.dialogues import EXCHANGES
from protocols.listing import markdown
from protocols.schema import contents

PAGE = Path(__file__).parents[2] / "docs" / "exchanges.md"


def test_the_page_of_the_exchanges_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run: python -m protocols.listing > docs/exchanges.md"


def test_the_page_shows_every_exchange_and_every_content_that_has_one() -> None:
    page = markdown()
    assert all(f"## {exchange} " in page for exchange in EXCHANGES)
    for content in contents():
        if content.model_fields["exchange"].default is not None:
            assert f"`{content.__name__}`" in page
