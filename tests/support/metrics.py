"""Reading of metrics in tests."""

from fluxori.core import metrics


def value(name: str, **labels: str) -> float:
    """Return the value of a series in this process; 0 if it does not exist yet."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0
