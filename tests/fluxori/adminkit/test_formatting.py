"""Timestamps on admin pages, at the ends of the calendar too."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from fluxori.adminkit import formatting
from fluxori.adminkit.csv_export import csv_value

ZONES = ["Pacific/Kiritimati", "UTC", "America/Los_Angeles"]
END, START = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@pytest.fixture(params=ZONES)
def zone(request):
    """Activate a time zone east of UTC, UTC, and one west of it."""
    with timezone.override(ZoneInfo(request.param)):
        yield request.param


class TestTimestamps:
    @pytest.mark.parametrize("at", [END, datetime(9999, 12, 31, tzinfo=UTC), formatting.NEVER_FROM])
    def test_a_timestamp_from_the_year_9000_on_is_shown_as_never(self, zone, at):
        assert formatting.format_timestamp(at) == formatting.format_expiry(at) == csv_value(at) == "Never"
        assert formatting.describe_expiry(at) == "never expires"
        assert f'title="{at:%Y-%m-%d %H:%M:%S} UTC">Never<' in formatting.timestamp_html(at)

    def test_the_last_timestamp_before_the_bound_is_shown_as_it_is(self, zone):
        assert formatting.format_timestamp(datetime(8999, 12, 30, tzinfo=UTC)).split()[2] == "8999"

    def test_the_first_timestamp_of_the_calendar_is_shown(self, zone):
        assert "1 Jan" in formatting.format_timestamp(START)

    def test_an_absent_timestamp_is_nothing_and_an_absent_expiry_never(self):
        assert (formatting.format_timestamp(None), formatting.format_expiry(None)) == ("-", "Never")
        assert (formatting.expiry_html(None), formatting.describe_expiry(None)) == ("Never", "never expires")
