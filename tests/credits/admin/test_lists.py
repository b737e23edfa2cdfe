"""Lists of any size: a page costs the same however deep it is, and takes all rows along as CSV."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from credits import operations
from credits.models import CreditBalance, CreditGrant, CreditTransaction
from fluxori.adminkit.changelist import ListAdmin
from fluxori.adminkit.csv_export import csv_lines, csv_value
from tests.support.admin import count_queries, staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import MembershipFactory
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db

TRANSACTIONS = "admin:credits_credittransaction_changelist"
EXPORT = "admin:credits_credittransaction_export"
OURS = [(model, page) for model, page in admin.site._registry.items() if isinstance(page, ListAdmin)]


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(ListAdmin, "list_per_page", 3)


def shown(answer):
    return [row.pk for row in answer.context["cl"].result_list]


def rows_of(answer):
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def spread(count=8):
    """Return that many transactions, newest first; the last three of them happened at one instant."""
    balance = make_balance(at=NOON - DAY)
    made = [deduct(balance, 1, at=NOON + min(n, count - 4) * HOUR).transaction.id for n in range(count - 1)]
    first = CreditTransaction.objects.get(sequence=1).pk
    return [*reversed(made), first]


class TestPages:
    def test_next_page_continues_without_gap_or_repetition(self, small_pages):
        made, client = spread(), superuser_client()
        seen, url = [], reverse(TRANSACTIONS)

        while url:
            answer = client.get(url)
            seen += shown(answer)
            older = answer.context["cl"].older
            url = older and reverse(TRANSACTIONS) + older

        assert seen == made

    def test_deeper_page_links_to_the_newest(self, small_pages):
        spread()
        client = superuser_client()

        older = client.get(client.get(reverse(TRANSACTIONS)).context["cl"].older and reverse(TRANSACTIONS), {})

        assert older.context["cl"].newest is None
        deeper = client.get(reverse(TRANSACTIONS) + older.context["cl"].older)
        assert deeper.context["cl"].newest == "?"
        assert "Newest" in text_of(deeper)

    def test_next_page_keeps_the_filter(self, small_pages):
        spread()

        answer = superuser_client().get(reverse(TRANSACTIONS), {"type__exact": "usage"})

        assert "type__exact=usage" in answer.context["cl"].older

    @pytest.mark.parametrize("after", ["nonsense", "01890a5d-ac96-774b-bcce-b302099a8057", "\x00"])
    def test_unknown_page_key_shows_the_first_page(self, after):
        answer = superuser_client().get(reverse(TRANSACTIONS), {"after": after})

        assert (answer.status_code, answer.headers["Location"]) == (302, f"{reverse(TRANSACTIONS)}?e=1")

    @pytest.mark.parametrize("page", OURS, ids=lambda found: found[0].__name__)
    def test_list_runs_no_count_query(self, page, django_assert_max_num_queries):
        model, _ = page
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        client = superuser_client()

        with django_assert_max_num_queries(7) as captured:
            assert client.get(url).status_code == 200

        assert count_queries(captured) == []
        # Nor read to see what there is to choose from.
        assert [query["sql"] for query in captured.captured_queries if "DISTINCT" in query["sql"]] == []


class TestDateFilter:
    def test_days_are_in_the_users_time_zone_and_inclusive(self):
        balance = make_balance(grants=[(500, None)], at=NOON - 9 * DAY)
        for hour in (21, 22, 45, 46):  # midnight in Johannesburg is 22 o'clock in UTC
            deduct(balance, hour, at=datetime(2025, 3, 3, tzinfo=ZoneInfo("UTC")) + timedelta(hours=hour))
        client = superuser_client()
        client.cookies["console_zone"] = "Africa%2FJohannesburg"

        days = {"timestamp_from": "2025-03-04", "timestamp_to": "2025-03-04"}
        answer = client.get(reverse(TRANSACTIONS), days)

        assert [-row.amount for row in answer.context["cl"].result_list] == [45, 22]

    def test_rejected_attempts_are_filtered_by_their_hour(self, django_capture_on_commit_callbacks):
        balance = make_balance(grants=[(10, None)], at=NOON - 9 * DAY)
        with django_capture_on_commit_callbacks(execute=True):
            for at in (NOON - DAY, NOON, NOON + HOUR, NOON + DAY):
                with pytest.raises(operations.InsufficientCreditsError):
                    deduct(balance, 40, at=at)
        days = {"hour_from": "2025-03-03", "hour_to": "2025-03-03", "code": "insufficient_credits"}

        answer = superuser_client().get(reverse("admin:credits_rejectedattempt_changelist"), days)

        assert [row.hour for row in answer.context["cl"].result_list] == [NOON + HOUR, NOON]

    @pytest.mark.parametrize("value", ["yesterday", "2025-02-31", "03/04/2025"])
    def test_invalid_dates_are_ignored(self, value):
        answer = superuser_client().get(reverse(TRANSACTIONS), {"timestamp_from": value})

        assert answer.status_code == 302

    def test_times_are_in_utc_without_a_browser_time_zone(self):
        deduct(make_balance(), 5, at=NOON)
        client = superuser_client()
        client.cookies["console_zone"] = "../../etc/passwd"

        assert "3 Mar 2025 12:00:00 UTC" in text_of(client.get(reverse(TRANSACTIONS)))
        assert timezone.get_current_timezone_name() == "UTC"

    def test_times_are_shown_in_the_users_time_zone_and_in_utc(self):
        deduct(make_balance(), 5, at=NOON)
        client = superuser_client()
        client.cookies["console_zone"] = "Africa%2FJohannesburg"

        page = text_of(client.get(reverse(TRANSACTIONS)))

        assert "3 Mar 2025 14:00:00 SAST" in page
        assert 'title="2025-03-03 12:00:00 UTC"' in page


class TestCsvExport:
    def test_export_contains_every_row_of_the_filtered_list(self, small_pages, monkeypatch):
        monkeypatch.setattr("fluxori.adminkit.csv_export._BATCH_SIZE", 2)
        made = spread()

        rows = rows_of(superuser_client().get(reverse(EXPORT), {"type__exact": "usage"}))

        assert [row["id"] for row in rows] == [str(key) for key in made[:-1]]
        assert {row["amount"] for row in rows} == {"-1"}

    def test_export_contains_owner_and_time(self):
        balance = make_balance()
        deduct(balance, 5, reference_id="order-7")

        [row, _] = rows_of(superuser_client().get(reverse(EXPORT)))

        assert (row["owner"], row["reference_id"]) == (str(balance.user), "order-7")
        assert row["timestamp"] == "2025-03-03T12:00:00+00:00"

    @pytest.mark.parametrize(
        "begin",
        [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\tx",
            "\rx",
            "\uff1d1+1",
            "\uff0b1",
            "\uff0d1",
            "\uff20A",
            "\ufe661",
            "\u22121",
            " =1",
            "\u3000=1",
            "\u200b=1",
            "\xa0\uff1d1",
        ],
    )
    def test_export_escapes_formulas(self, begin):
        deduct(make_balance(), 5, description=f"{begin} of a customer")

        rows = rows_of(superuser_client().get(reverse(EXPORT), {"type__exact": "usage"}))

        assert [row["description"] for row in rows] == [f"'{begin} of a customer"]
        assert [row["amount"] for row in rows] == ["-5"]

    @pytest.mark.parametrize(
        ("value", "carried"),
        [(None, ""), (True, True), (-40, -40), (b"\x01\xff", "01ff"), ("plain", "plain"), (["=x"], '["=x"]')],
    )
    def test_export_formats_every_kind_of_value(self, value, carried):
        assert csv_value(value) == carried

    def test_export_escapes_names_of_related_rows(self):
        name = '=HYPERLINK("http://x","y")'
        membership = MembershipFactory.create(organization__name=name, user__email="=1@example.test")

        [row] = rows_of(superuser_client().get(reverse("admin:identity_membership_export")))

        assert (row["organization"], row["user"]) == (f"'{name}", f"'{membership.user}")

    def test_export_begins_with_a_byte_order_mark(self):
        make_balance()

        response: Any = superuser_client().get(reverse(EXPORT))
        content = b"".join(response.streaming_content)

        assert content.startswith(b"\xef\xbb\xbfid,")

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ("tiers_tier", {"code": "explorer", "monthly_credits": "400"}),
            ("credits_feature", {"code": "simple-ai-insight", "credits_now": "9"}),
            ("credits_featureprice", {"feature_id": "simple-ai-insight", "credits": "9"}),
        ],
    )
    def test_tiers_features_and_prices_can_be_exported(self, model, expected):
        client = superuser_client()

        rows = rows_of(client.get(reverse(f"admin:{model}_export")))

        assert expected.items() <= next(row for row in rows if expected.items() <= row.items()).items()
        assert reverse(f"admin:{model}_export") in text_of(client.get(reverse(f"admin:{model}_changelist")))

    @pytest.mark.parametrize("page", admin.site._registry.values(), ids=lambda found: found.opts.label_lower)
    def test_every_list_has_an_export_without_passwords(self, page):
        response: Any = superuser_client().get(reverse(f"admin:{page.opts.label_lower.replace('.', '_')}_export"))

        header = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()[0]
        assert "password" not in header

    def test_export_requires_its_permission(self):
        make_balance()

        assert staff_client("credits.view_credittransaction").get(reverse(EXPORT)).status_code == 403

    def test_export_requires_permission_to_view_the_list(self):
        make_balance()

        assert staff_client("console.export_csv").get(reverse(EXPORT)).status_code == 403

    def test_export_link_is_shown_with_permission_only(self):
        make_balance()
        client = staff_client("credits.view_credittransaction", "console.export_csv")

        page = text_of(client.get(reverse(TRANSACTIONS), {"type__exact": "usage"}))

        assert f'href="{reverse(EXPORT)}?type__exact=usage"' in page.replace("&amp;", "&")
        assert client.get(reverse(EXPORT)).status_code == 200

    def test_export_of_users_contains_no_password(self):
        from fluxori.identity.models import User

        make_balance()

        assert "password" not in next(iter(csv_lines(User.objects.order_by("-pk"), {})))

    def test_export_runs_the_same_queries_for_one_row_and_for_many(self, django_assert_max_num_queries):
        for _ in range(6):
            deduct(make_balance(), 5)
        client = superuser_client()

        with django_assert_max_num_queries(5):
            assert len(rows_of(client.get(reverse(EXPORT)))) == 12


class TestSavedLinks:
    @pytest.mark.parametrize("page", OURS, ids=lambda found: found[0].__name__)
    def test_every_saved_link_opens_a_list(self, page):
        model, found = page
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        client = superuser_client()

        for name, query in found.saved_links:
            answer = client.get(f"{url}?{query}")

            assert answer.status_code == 200, name

    def test_saved_links_find_suspended_balances_and_balances_in_debt(self):
        make_balance()
        halted = make_balance()
        operations.suspend_spending(owner=halted.owner, reason="Looked odd", at=NOON)
        url = reverse("admin:credits_creditbalance_changelist")

        assert shown(superuser_client().get(url, {"state": "suspended"})) == [halted.pk]
        assert CreditBalance.objects.count() == 2
        assert CreditGrant.objects.count() == 2
