"""The search of the console: what it finds, who may find it, and the indexes that it uses."""

import pytest
from django.db import connection
from django.urls import reverse

from credits import operations
from fluxori.identity.models import Membership, Organization
from tests.support.admin import staff_client, superuser_client, text_of
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.times import NOON

pytestmark = pytest.mark.django_db


def search(term, client=None, **params):
    return (client or superuser_client()).get(reverse("console_search"), {"q": term, **params})


def page(label, key):
    return reverse(f"admin:{label}_change", args=[key])


class TestSearch:
    def test_an_email_finds_the_account_in_any_case(self):
        balance = make_balance()
        make_balance()

        assert search(f" {str(balance.user).upper()} ").url == page("credits_creditbalance", balance.pk)

    def test_the_beginning_of_an_email_finds_the_account(self):
        owner = make_user()
        owner.email = "thandi.nkosi@example.test"
        owner.save()
        make_balance(owner)

        assert search("thandi").url == page("credits_creditbalance", owner.pk)

    def test_beginnings_of_words_find_an_organization(self):
        organization = make_balance(Organization.objects.create(name="Table Mountain Traders"))
        make_balance(Organization.objects.create(name="Tablecloths"))

        assert search("mountain tab").url == page("credits_creditbalance", organization.pk)

    def test_a_reference_finds_the_transaction_by_exact_match(self):
        paid = deduct(make_balance(), 5, reference_id="Report-42")

        client = superuser_client()

        assert search("Report-42", client).url == page("credits_credittransaction", paid.transaction.id)
        assert search("report-42", client).context["results"] == []

    def test_an_id_finds_balances_transactions_holds_and_grants(self):
        balance = make_balance()
        paid = deduct(balance, 5)
        held = operations.place_hold(owner=balance.owner, amount=3, description="Work", at=NOON)
        [grant] = balance.grants.all()
        client = superuser_client()

        assert search(str(balance.pk), client).url == page("credits_creditbalance", balance.pk)
        assert search(str(paid.transaction.id), client).url == page("credits_credittransaction", paid.transaction.id)
        assert search(str(held.hold.id), client).url == page("credits_credithold", held.hold.id)
        assert search(str(grant.pk), client).url == page("credits_creditgrant", grant.pk)

    def test_several_results_are_listed(self):
        for _ in range(2):
            deduct(make_balance(), 5, reference_id="order-7")

        response = search("order-7")

        assert len(response.context["results"]) == 2

    def test_a_user_is_found_with_the_organizations_they_belong_to(self):
        member, organization = make_user(), make_balance(Organization.objects.create(name="Karoo"))
        Membership.objects.create(user=member, organization_id=organization.pk)

        urls = {result.url for result in search(member.email).context["results"]}

        assert urls == {page("identity_user", member.pk), page("credits_creditbalance", organization.pk)}

    @pytest.mark.parametrize("term", ["", "   ", "unknown", "'; --", "&|!:*", "\x00", "é" * 300, "%", "_"])
    def test_a_term_without_a_match_has_no_results(self, term):
        make_balance()

        response = search(term)

        assert response.status_code == 200
        assert response.context["results"] == []

    def test_results_need_the_permission_to_view_them(self):
        paid = deduct(make_balance(), 5, reference_id="order-7")

        client = staff_client("identity.view_user")

        assert search("order-7", client).context["results"] == []
        assert search(str(paid.transaction.id), client).context["results"] == []

    def test_the_search_needs_a_login_of_staff(self, client):
        assert "login" in search("x", client).url

    def test_suggestions_are_a_fragment_of_a_page(self):
        balance = make_balance()

        response = search(str(balance.user)[:8], suggest="1")

        assert page("credits_creditbalance", balance.pk) in text_of(response)
        assert "<html" not in text_of(response)


class TestIndexes:
    """Each search and each list has an index that can answer it.

    The query is planned with sequential scans and sorts disabled, and without the other non-unique indexes of the
    table, so the plan does not depend on the statistics of a nearly empty table.
    """

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
    def test_an_index_can_answer_the_query(self, sql, index):
        with as_owner(), connection.cursor() as cursor:
            for other in self.other_indexes(cursor, index):
                cursor.execute(f'DROP INDEX "{other}"')  # the transaction of the test is rolled back
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert index in plan

    def other_indexes(self, cursor, index):
        """Return the names of the other non-unique indexes on the table of an index, unless its name is a prefix."""
        cursor.execute(
            "SELECT other.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_index o ON o.indrelid = i.indrelid AND NOT o.indisunique"
            " JOIN pg_class other ON other.oid = o.indexrelid"
            " WHERE c.relname LIKE %s AND other.relname NOT LIKE %s",
            [f"{index}%", f"{index}%"],
        )
        return sorted({name for (name,) in cursor.fetchall()})
