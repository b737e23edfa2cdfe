"""One valid request of each endpoint that moves credits or changes a tier."""

from typing import Any

from django.test import Client

DEDUCT = "/api/credits/deduct"
ADD = "/api/credits/add"
INITIALIZE = "/api/credits/initialize"
TIER = "/api/credits/tier"
PREVIEW = "/api/credits/tier/preview"
ALLOCATE = "/api/credits/monthly-allocation"

DEDUCTION = {"amount": 9, "description": "An insight"}
ADDITION = {"amount": 9, "type": "promotion", "description": "Welcome"}
BODIES: dict[str, dict[str, Any]] = {
    DEDUCT: DEDUCTION,
    ADD: ADDITION,
    INITIALIZE: {"tier": "explorer"},
    TIER: {"tier": "growth"},
    PREVIEW: {"tier": "growth"},
    ALLOCATE: {},
}


def send(client: Client, path: str, body: dict[str, Any], **options: Any) -> Any:
    """Send a body with the method of the endpoint."""
    return (client.put if path == TIER else client.post)(path, body, **options)


def send_text(client: Client, path: str, text: str) -> Any:
    """Post a body that may not be valid JSON."""
    return client.generic("POST", path, text, content_type="application/json")
