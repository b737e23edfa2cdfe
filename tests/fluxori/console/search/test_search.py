"""One box that takes what a customer or a log line gives, and goes there."""

import pytest
from django.db import connection
from django.urls import reverse

from credits import operations
from fluxori.identity.models import Membership, Organization
from tests.support.admin import staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.times import NOON

pytestmark = pytest.mark.django_db


def find(term, client=None, **more):
    return (client or superuser_client()).get(reverse("console_search"), {"q": term, **more})


def page(label, key):
    return reverse(f"admin:{label}_change", args=[key])


class TestFind:
    def test_goes_to_the_account_of_an_e_mail(self):
        balance = make_balance()
        make_balance()

        assert find(f" {str(balance.user).upper()} ").url == page("credits_creditbalance", balance.pk)

    def test_goes_to_the_account_of_an_e_mail_by_how_it_begins(self):
        owner = make_user()
        owner.email = "thandi.nkosi@example.test"
        owner.save()
        make_balance(owner)

        assert find("thandi").url == page("credits_creditbalance", owner.pk)

    def test_goes_to_an_organization_by_words_of_its_name(self):
        pool = make_balance(Organization.objects.create(name="Table Mountain Traders"))
        make_balance(Organization.objects.create(name="Tablecloths"))

        assert find("mountain tab").url == page("credits_creditbalance", pool.pk)

    def test_goes_to_the_transaction_of_a_reference(self):
        paid = deduct(make_balance(), 5, reference_id="Report-42")

        client = superuser_client()

        assert find("Report-42", client).url == page("credits_credittransaction", paid.transaction.id)
        assert find("report-42", client).context["hits"] == []

    def test_goes_to_whatever_an_id_names(self):
        balance = make_balance()
        paid = deduct(balance, 5)
        held = operations.place_hold(owner=balance.owner, amount=3, description="Work", at=NOON)
        [grant] = balance.grants.all()
        client = superuser_client()

        assert find(str(balance.pk), client).url == page("credits_creditbalance", balance.pk)
        assert find(str(paid.transaction.id), client).url == page("credits_credittransaction", paid.transaction.id)
        assert find(str(held.hold.id), client).url == page("credits_credithold", held.hold.id)
        assert find(str(grant.pk), client).url == page("credits_creditgrant", grant.pk)

    def test_lists_what_is_several(self):
        for _ in range(2):
            deduct(make_balance(), 5, reference_id="order-7")

        response = find("order-7")

        assert len(response.context["hits"]) == 2

    def test_leads_from_a_member_to_the_pools_they_spend_from(self):
        member, pool = make_user(), make_balance(Organization.objects.create(name="Karoo"))
        Membership.objects.create(user=member, organization_id=pool.pk)

        urls = {hit.url for hit in find(member.email).context["hits"]}

        assert urls == {page("identity_user", member.pk), page("credits_creditbalance", pool.pk)}

    @pytest.mark.parametrize("term", ["", "   ", "nobody", "'; --", "&|!:*", "\x00", "é" * 300, "%", "_"])
    def test_finds_nothing_for_what_names_nothing(self, term):
        make_balance()

        response = find(term)

        assert response.status_code == 200
        assert response.context["hits"] == []

    def test_shows_only_what_one_may_see(self):
        paid = deduct(make_balance(), 5, reference_id="order-7")

        nobody = staff_client("identity.view_user")

        assert find("order-7", nobody).context["hits"] == []
        assert find(str(paid.transaction.id), nobody).context["hits"] == []

    def test_is_for_staff(self, client):
        assert "login" in find("x", client).url

    def test_suggests_without_leaving_the_page(self):
        balance = make_balance()

        response = find(str(balance.user)[:8], suggest="1")

        assert page("credits_creditbalance", balance.pk) in text_of(response)
        assert "<html" not in text_of(response)


class TestEveryLookUp:
    """Asked of the planner, with scanning whole tables made unattractive: an index must be able to response."""

    @pytest.mark.parametrize(
        ("sql", "index"),
        [
            ("SELECT * FROM credits_credittransaction WHERE reference_id = 'x'", "credits_transaction_admin_ref"),
            ("SELECT * FROM credits_credithold WHERE reference_id = 'x'", "credits_hold_admin_ref"),
            ("SELECT * FROM identity_user WHERE email LIKE 'thandi%'", "identity_user_email"),
            (
                "SELECT * FROM identity_organization WHERE to_tsvector('simple'::regconfig, COALESCE(name, ''))"
                " @@ to_tsquery('simple'::regconfig, 'kar:*')",
                "identity_organization_words",
            ),
            (
                "SELECT * FROM credits_credittransaction ORDER BY timestamp DESC, id DESC LIMIT 50",
                "credits_transaction_admin_time",
            ),
            (
                "SELECT * FROM credits_credittransaction WHERE type = 'void' ORDER BY timestamp DESC, id DESC LIMIT 50",
                "credits_transaction_admin_type",
            ),
            ("SELECT * FROM credits_creditbalance WHERE debt > 0 ORDER BY id DESC", "credits_balance_admin_debt"),
        ],
    )
    def test_has_an_index(self, sql, index):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert index in plan
