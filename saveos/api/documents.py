"""The OpenAPI document where Litestar says it wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.typing import FieldDefinition


class Lists(OpenAPISchemaPlugin):
    """`tuple[X, ...]` with bounds is a list of X; Litestar 2.25 documents one of X or anything, which no X fits."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Leave types by themselves to Litestar: the bounds stand at the field."""
        del value
        return False

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Return whether this is such a field."""
        inner = field_definition.inner_types
        return field_definition.origin is tuple and bool(inner) and inner[-1].annotation is Ellipsis

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Return the list, with its bounds."""
        bounds = field_definition.kwarg_definition
        return Schema(
            type=OpenAPIType.ARRAY,
            items=schema_creator.for_field_definition(field_definition.inner_types[0]),
            min_items=getattr(bounds, "min_items", None),
            max_items=getattr(bounds, "max_items", None),
        )
