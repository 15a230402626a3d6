"""What a run folder says while it grows: models for the page, made from its files alone, without the page."""
