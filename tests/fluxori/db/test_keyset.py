"""The condition of keyset pagination."""

from django.db.models import Q

from fluxori.db.keyset import after_key


class TestAfterKey:
    def test_one_ascending_column(self):
        assert after_key(["id"], [5]) == Q(id__gt=5)

    def test_one_descending_column(self):
        assert after_key(["-id"], [5]) == Q(id__lt=5)

    def test_later_columns_decide_between_equal_values(self):
        condition = after_key(["-day", "id"], ["2025-03-03", 5])

        assert condition == Q(day__lte="2025-03-03") & (Q(day__lt="2025-03-03") | Q(day="2025-03-03") & Q(id__gt=5))
