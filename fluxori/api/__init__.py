"""What every door shares. A door translates in, makes one call, and translates out.

    class DeductionIn(In):                                  # declared in snake_case, spelled in camelCase
        amount = WholeNumber(min_value=1, max_value=10**12, required=False)
        feature = Text(max_length=64, required=False)
        organization_id = Id(required=False)
        user_id = Id(required=False)
        metadata = Metadata(required=False)

    class CreditViewSet(viewsets.ViewSet):
        @extend_schema(request=DeductionIn, responses=BalanceOut)
        def deduct(self, request: Request) -> Response:
            asked = DeductionIn.read(request.data)           # a dict; BadInput names every wrong field
            acting = caller.spending(request, asked)         # whose balance, for which member; or 403, 404
            done = operations.deduct_credits(owner=acting.owner, member=acting.member, ...)
            return answer(BalanceOut.of(done), replayed=done.replayed)

- ``fields``: WholeNumber, Text, Email, Id, Timestamp, Rand, Choice, Flag, Metadata. ``serializers``: In (body), Query
  (``HistoryQuery.read(request.query_params)``), Out (``of(object or mapping)`` gives the plain dict).
- ``caller``: ``reading``, ``spending``, ``named_owner`` (admin doors), ``visible_balances``, ``caller_of``.
  ``permissions``: IsAdmin, IsAdminOrService. Without ``permission_classes`` a door needs a token.
- ``idempotency``: ``key_of(request)``, ``answer(data, status, replayed=...)``.
- Lists: a ``GenericViewSet`` with ``keyset = ("sequence",)`` and ``filterset_class`` (``filters``), then
  ``self.paginate_queryset(self.filter_queryset(queryset))`` and ``self.get_paginated_response([...])``.
- Refusals: raise a ``DomainError``; ``problems`` answers. A view with ``max_body`` takes more than 64 KiB.
"""
