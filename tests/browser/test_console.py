"""Daily tasks of staff in a browser, and the layout of every page."""

import csv
from datetime import timedelta

import pytest
from django.urls import reverse

from credits import operations, queries
from credits.models import CreditTransaction, FeaturePrice
from fluxori.console.actions.operations import perform
from fluxori.console.approvals.operations import request_approval
from fluxori.console.dashboard.snapshot import refresh_snapshot
from fluxori.console.models import StaffAction
from fluxori.core import clock
from fluxori.identity.models import User
from tests.browser.conftest import PASSWORD
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.factories.tiers import make_subscribed_balance, make_subscribed_balances
from tests.support.staff import action_request, make_staff
from tests.support.times import DAY, HOUR
from tiers import operations as tiers
from tiers.models import AllocationRun, Tier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SUPERUSER = "superuser@example.test"


@pytest.fixture
def superuser():
    return User.objects.create_superuser(SUPERUSER, PASSWORD)


@pytest.fixture
def customer():
    """The balance of a customer who was charged 40 credits on a Tuesday."""
    owner = make_user()
    owner.email = "thandi@example.test"
    owner.save()
    now = clock.now()
    back = (now.weekday() - 1) % 7 or 7
    tuesday = (now - timedelta(days=back)).replace(hour=10, minute=30)
    make_balance(owner, grants=[(120, None)], at=tuesday - DAY)
    operations.deduct_credits(
        owner=owner, feature="ai-generated-report", description="Spring catalogue", reference_id="report-7", at=tuesday
    )
    return owner.credit_balance


def fill_lists(customer):
    """Create a row for every list, with long e-mail addresses."""
    now = clock.now()
    tiers.initialize_balance(owner=customer.owner, tier="growth", initial_balance=0, at=now)
    tiers.add_monthly_allocation(owner=customer.owner, at=now)
    tiers.start_run(at=now, started_at=now, started_by="allocate_monthly_credits", due=1)
    hold(customer, 10, at=now)
    with pytest.raises(operations.InsufficientCreditsError):
        operations.deduct_credits(
            owner=customer.owner, actor=make_user(), feature="realtime-ai-dashboard", quantity=90_000, at=now
        )
    perform(action_request("add", customer.user, make_staff("support"), amount=50))
    request_approval(action_request("add", customer.user, make_staff("support"), amount=900))
    MembershipFactory()


class TestDailyTasks:
    def test_a_charge_is_explained_and_refunded_with_four_clicks(self, superuser, customer, log_in):
        staff = log_in(SUPERUSER)
        staff.count_input()
        staff.page.reload()

        staff.search("thandi@")
        assert "thandi@example.test" in staff.page.locator("#content h1").inner_text()
        charged = staff.page.locator("tr", has_text="AI-generated report")
        assert "Tue" in charged.inner_text()
        charged.locator("td a").first.click()
        staff.page.wait_for_url("**/credittransaction/**")
        page_text = staff.text()
        for text in (
            "Usage of 40 credits",
            "1 \u00d7 AI-generated report, at 40 credits per report",
            "Tuesday",
            "120 → 80",
        ):
            assert text in page_text

        staff.page.get_by_role("link", name="Refund").click()
        staff.page.wait_for_selector("select[name=reason]:focus")
        staff.page.keyboard.press("o")
        assert staff.page.input_value("select[name=reason]") == "outage"
        staff.page.fill("textarea[name=note]", "The report came out empty")
        staff.page.get_by_role("button", name="Continue").click()
        staff.page.wait_for_selector("button[name=confirmed]")
        assert "80 → 120" in staff.text()
        staff.page.locator("button[name=confirmed]").click()
        staff.page.wait_for_url("**/change/")

        assert staff.input_counts == {"clicks": 4, "keys": len("/thandi@") + len(["Enter", "o"])}
        assert queries.get_balance(owner=customer.owner).available == 120
        [action] = StaffAction.objects.all()
        assert (action.actor_id, action.note) == (superuser.pk, "The report came out empty")
        assert "The report came out empty" in staff.text()
        assert "refund #3" in staff.text()

    def test_the_search_finds_references_and_ids(self, superuser, customer, log_in):
        staff = log_in(SUPERUSER)
        paid = CreditTransaction.objects.get(reference_id="report-7")

        for words in ("report-7", str(paid.pk)):
            staff.search(words)
            assert staff.page.url.endswith(reverse("admin:credits_credittransaction_change", args=[paid.pk]))

    def test_the_search_suggests_while_typing(self, superuser, customer, log_in):
        staff = log_in(SUPERUSER)

        staff.page.keyboard.press("/")
        staff.page.keyboard.type("than")
        staff.page.get_by_role("link", name="thandi@example.test").wait_for()
        staff.page.keyboard.press("ArrowDown")
        staff.page.keyboard.press("Enter")
        staff.page.wait_for_url(f"**/{customer.pk}/change/")

    def test_a_change_of_a_tier_shows_its_effect_and_stores_the_reason(self, superuser, log_in):
        make_subscribed_balances(3, tier="growth", at=clock.now() - DAY)
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:tiers_tier_change", args=["growth"]))
        assert "3 subscriptions, next allocations from" in staff.text()
        staff.page.fill("input[name=price_max]", "270.00")
        staff.page.fill("input[name=change_reason]", "Prices of 2027")
        staff.page.locator("button[name=_save]").click()
        staff.page.wait_for_url("**/admin/tiers/tier/")

        assert str(Tier.objects.get(pk="growth").price_max) == "270.00"
        [newest, *_] = Tier.history.filter(code="growth")
        assert (newest.history_user, newest.history_change_reason) == (superuser, "Prices of 2027")

    def test_a_new_feature_price_does_not_change_the_old_one(self, superuser, log_in):
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:credits_featureprice_add"))
        staff.page.select_option("select[name=feature]", "ai-generated-report")
        staff.page.fill("input[name=credits]", "45")
        staff.page.fill("input[name=change_reason]", "Longer reports")
        staff.page.locator("button[name=_save]").click()
        staff.page.wait_for_url("**/admin/credits/featureprice/")

        earlier, later = FeaturePrice.objects.filter(feature="ai-generated-report").order_by("effective_from")
        assert (earlier.credits, later.credits) == (40, 45)
        assert later.history.get().history_change_reason == "Longer reports"

    def test_a_limit_is_changed_from_its_row(self, superuser, customer, log_in):
        operations.set_limit(owner=customer.owner, amount=50, period="day")
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:credits_creditbalance_change", args=[customer.pk]))
        staff.page.locator("section[aria-labelledby=limits]").get_by_role("link", name="Change").click()
        staff.page.fill("input[name=amount]", "80")
        staff.page.select_option("select[name=reason]", "contract")
        staff.page.get_by_role("button", name="Continue").click()
        staff.page.locator("button[name=confirmed]").click()
        staff.page.wait_for_url("**/change/")

        [limit] = queries.get_limits(owner=customer.owner)
        assert (limit.amount, limit.period) == (80, "day")

    def test_repeated_failures_lock_the_login(self, superuser, log_in, settings):
        staff = log_in(SUPERUSER)
        staff.context.clear_cookies()

        for _ in range(settings.LOGIN_FAILURES + 1):
            staff.page.goto("/admin/login/")
            staff.page.fill("input[name=username]", "unknown@example.test")
            staff.page.fill("input[name=password]", "guessed")
            staff.page.get_by_role("button", name="Log in").click()
            staff.page.wait_for_selector(".errornote:visible")

        assert staff.page.locator(".errornote:visible").all_inner_texts() == [
            f"Too many attempts failed. Try again in {settings.LOGIN_LOCKED_MINUTES} minutes."
        ]

    def test_a_dry_run_shows_what_a_run_would_allocate(self, superuser, log_in):
        make_subscribed_balances(2, at=clock.now() - 32 * DAY)
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:tiers_allocationrun_changelist"))
        staff.page.get_by_role("link", name="Dry run").click()
        staff.page.wait_for_load_state()

        assert "Explorer 2 2 0 800" in staff.text()
        assert AllocationRun.objects.count() == 0

    def test_a_list_is_exported_as_csv(self, superuser, log_in):
        deduct(make_balance(at=clock.now() - DAY), 5, at=clock.now() - HOUR, description="=1+1")
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:credits_credittransaction_changelist") + "?type__exact=usage")
        with staff.page.expect_download() as download:
            staff.page.get_by_role("link", name="Export as CSV").click()

        with open(download.value.path(), newline="") as file:
            [row] = csv.DictReader(file)
        assert (row["amount"], row["description"]) == ("-5", "'=1+1")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_filter_is_saved_and_deleted_with_the_keyboard(self, superuser, customer, log_in, scheme):
        staff = log_in(SUPERUSER, color_scheme=scheme, viewport={"width": 390, "height": 844})
        page, transactions = staff.page, reverse("admin:credits_credittransaction_changelist")

        page.goto(transactions)
        assert page.locator(".console-save-filter").count() == 0
        page.get_by_role("button", name="Filters", exact=True).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#changelist-filter a:focus")
        page.locator("#changelist-filter").get_by_role("link", name="Usage", exact=True).focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.locator(".console-save-filter summary").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#filter-name:focus")
        page.keyboard.type("What they spent")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "Saved as “What they spent”, for all staff." in page.inner_text("body")

        page.goto(transactions)
        with page.expect_navigation():
            page.get_by_role("link", name="What they spent").click()
        assert [row.inner_text() for row in page.locator("#result_list .field-type").all()] == ["Usage"]
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        with page.expect_navigation():
            page.get_by_role("button", name="Delete the filter What they spent").click()
        assert page.url.endswith("?type__exact=usage")
        assert page.get_by_role("link", name="What they spent").count() == 0

    def test_timestamps_are_in_the_time_zone_of_the_browser(self, superuser, log_in):
        balance = make_subscribed_balance(at=clock.now() - DAY)
        staff = log_in(SUPERUSER)

        staff.page.goto(reverse("admin:credits_creditbalance_change", args=[balance.pk]))

        assert "SAST" in staff.text()
        assert staff.page.locator("time").first.get_attribute("title").endswith("UTC")

    def test_an_id_can_be_copied(self, superuser, customer, log_in):
        staff = log_in(SUPERUSER, permissions=["clipboard-read", "clipboard-write"])

        staff.page.goto(reverse("admin:credits_creditbalance_change", args=[customer.pk]))
        staff.page.locator("[data-copy]").first.click()

        assert staff.page.evaluate("navigator.clipboard.readText()") == str(customer.pk)


PAGES = [
    "index",
    "credits_creditbalance_changelist",
    "credits_credittransaction_changelist",
    "credits_creditgrant_changelist",
    "credits_credithold_changelist",
    "tiers_subscription_changelist",
    "tiers_allocationrun_changelist",
    "tiers_allocationrun_dry_run",
    "tiers_tier_changelist",
    "credits_featureprice_add",
    "console_staffaction_changelist",
    "console_approvalrequest_changelist",
    "console_manualcreditceiling_changelist",
    "credits_rejectedattempt_changelist",
    "identity_user_changelist",
    "identity_organization_changelist",
    "identity_membership_changelist",
    "console_find_owner",
]


class TestEveryPage:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_page_fits_a_phone_without_errors(self, superuser, customer, log_in, scheme):
        refresh_snapshot(at=clock.now())
        staff = log_in(SUPERUSER, color_scheme=scheme, viewport={"width": 390, "height": 844})
        account = reverse("admin:credits_creditbalance_change", args=[customer.pk])
        wide = []

        for path in [account, *(reverse(f"admin:{name}") for name in PAGES)]:
            response = staff.page.goto(path)
            assert response.status == 200, path
            if staff.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1"):
                wide.append(path)

        assert wide == []

    def test_every_list_shows_all_columns_at_1280_pixels(self, superuser, customer, log_in):
        fill_lists(customer)
        staff = log_in(SUPERUSER, viewport={"width": 1280, "height": 900})
        beyond = """() => {
            const table = document.querySelector("#result_list");
            return table.scrollWidth - table.parentElement.clientWidth;
        }"""
        wide = []

        for name in PAGES:
            if name.endswith("_changelist"):
                staff.page.goto(reverse(f"admin:{name}"))
                assert staff.page.locator("#result_list tbody tr").count() > 0, name
                if staff.page.evaluate(beyond) > 0:
                    wide.append(name)

        assert wide == []

    def test_every_field_and_button_has_a_name(self, superuser, customer, log_in):
        staff = log_in(SUPERUSER)
        nameless = """() => [...document.querySelectorAll('#content :is(button, a, input, select)')]
            .filter((e) => e.type !== 'hidden' && e.checkVisibility())
            .filter((e) => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.title || e.labels?.length
                             || e.placeholder))
            .map((e) => e.outerHTML.slice(0, 120))"""

        for path in (
            reverse("admin:index"),
            reverse("admin:credits_creditbalance_change", args=[customer.pk]),
            reverse("admin:tiers_allocationrun_dry_run"),
            reverse("console_search"),
        ):
            staff.page.goto(path)
            assert staff.page.evaluate(nameless) == [], path
