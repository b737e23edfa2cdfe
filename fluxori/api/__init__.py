"""What all HTTP entry points share. A view parses the request, calls one operation, and renders the result.

    class DeductRequest(RequestSerializer):                  # fields in snake_case; JSON in camelCase
        amount = WholeNumber(min_value=1, max_value=10**12, required=False)
        feature = Text(max_length=64, required=False)
        organization_id = Id(required=False)
        user_id = Id(required=False)
        metadata = Metadata(required=False)

    class DeductViewSet(ViewSet):
        @extend_schema(parameters=[IDEMPOTENCY_KEY], request=DeductRequest, responses=MovementResponse)
        def deduct(self, request: Request) -> Response:
            payload = DeductRequest.parse(request.data)       # a dict, or InvalidInputError with every wrong field
            access = resolve_for_spend(request, payload)      # the owner and the member; or 403, 404
            result = operations.deduct_credits(owner=access.owner, member=access.member, ...)
            return idempotent_response(MovementResponse.render(result), replayed=result.replayed)

- ``fields``: WholeNumber, Text, Email, Id, Timestamp, Rand, Choice, Flag, Metadata.
- ``views``: ViewSet and GenericViewSet, the base classes of all views. They reject what no view reads.
- ``serializers``: RequestSerializer for bodies and QuerySerializer for query strings (``parse``), ResponseSerializer
  (``render``).
- ``access``: who calls and which balances they may use. ``permissions``: IsAdmin, IsAdminOrService. Without
  ``permission_classes`` a view requires a valid token.
- ``headers``: headers with one value.
- ``idempotency``: ``key_from(request)``, ``idempotent_response(data, status, replayed=...)``.
- Lists: a ``GenericViewSet`` with ``keyset = ("sequence",)`` and ``filterset_class`` (``filters``), then
  ``self.paginate_queryset(self.filter_queryset(queryset))`` and ``self.get_paginated_response([...])``.
- Errors: raise a ``DomainError``; ``problems`` turns it into the response. The attribute ``max_body`` of a view raises
  the limit of 64 KiB for a body.
"""
