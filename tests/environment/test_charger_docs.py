"""The registers' page says what the code does."""

from __future__ import annotations

from environment.charger_docs import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m environment.charger_docs"
