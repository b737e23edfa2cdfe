"""Serializer of features."""

from fluxori.api.fields import Text, WholeNumber
from fluxori.api.serializers import ResponseSerializer


class FeatureResponse(ResponseSerializer):
    code = Text()
    name = Text()
    price = WholeNumber(help_text="Whole credits for one unit.")
    unit = Text()
