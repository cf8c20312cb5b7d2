"""Times that never go back, whatever the machine's clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def text_of(moment: datetime) -> str:
    """A time as the database writes it: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The machine's time."""
    return text_of(datetime.now(UTC))


class Clock:
    """The times of one run; ``last`` is the latest one known so far."""

    def __init__(self, last: str | None = None) -> None:
        self._last = last or ""

    def now(self) -> str:
        """The machine's time, or the last one given where that is later."""
        self._last = max(now(), self._last)
        return self._last

    def next(self) -> str:
        """As ``now``, but a millisecond after the last one given where it would not be later: ends are told apart."""
        moment = now()
        if moment <= self._last:
            moment = text_of(datetime.fromisoformat(self._last) + timedelta(milliseconds=1))
        self._last = moment
        return moment
