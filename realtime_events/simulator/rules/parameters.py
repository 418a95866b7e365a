"""A tool's parameters, read from its JSON Schema.

Owns what a parameter is for the rules: its type, its choices, and its role, which is what kind of value it wants said.
Knows no conversation. A schema that makes no sense gives fewer parameters, never an error. After it: `arguments.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...events.base import Struct
from .language import concepts, described, lower_words, name_words, word_set
from .untyped import list_in, mapping_in

__all__ = ["Parameter", "parameters_of"]

_DEEPEST = 8
_MOST = 300

# A parameter's role is the first whose words are in its name or, failing that, in its description.
_ROLES: dict[str, frozenset[str]] = {
    role: word_set(words)
    for role, words in {
        "email": "email mail",
        "url": "url uri link website",
        "phone": "phone telephone mobile",
        "origin": "origin departure source from",
        "destination": "destination arrival target",
        "place": "city town location place country region address area airport station capital where village",
        "date": "date day deadline birthday when weekday",
        "time": "time hour clock",
        "colour": "color colour",
        "language": "language lang",
        "code": "id code reference sku ref zip postcode",
        "person": "person contact recipient customer attendee passenger who patient employee",
        "text": "query q text message question note content body title subject topic expression prompt task item items "
        "song product keyword keywords reason description summary comment input formula equation sentence phrase",
    }.items()
}
_WEAK_ROLES: dict[str, frozenset[str]] = {"person": frozenset(("name", "user")), "destination": frozenset(("to",))}


class Parameter(Struct, frozen=True, kw_only=True):
    """One property of a tool's parameters.

    `type` is the JSON type, `choices` the allowed values (none: any), `about` what its name and description are
    about, `inside` the parameter of an array's items, `parts` those of an object or of a tuple.
    """

    name: str
    type: str
    role: str
    required: bool
    schema: Mapping[str, Any]
    choices: Sequence[Any] = ()
    about: frozenset[str] = frozenset()
    inside: Parameter | None = None
    parts: Sequence[Parameter] = ()

    @property
    def spoken(self) -> str:
        """The name as words."""
        return name_words(self.name)


def parameters_of(schema: Any) -> list[Parameter]:
    """Gives the parameters in the order of a JSON Schema of type object."""
    return _Reader(mapping_in(schema)).parts(mapping_in(schema), depth=0)


class _Reader:
    """Reads one schema, which may refer to itself, and no more of it than a few hundred parameters."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST

    def parts(self, schema: Mapping[str, Any], *, depth: int) -> list[Parameter]:
        """Gives the properties of an object."""
        required = set(map(str, list_in(schema.get("required"))))
        return [
            self._parameter(name, mapping_in(one), required=name in required, depth=depth + 1)
            for name, one in mapping_in(schema.get("properties")).items()
            if depth < _DEEPEST and self._may_read()
        ]

    def _may_read(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def _parameter(self, name: str, given: Mapping[str, Any], *, required: bool, depth: int) -> Parameter:
        schema = self._plain(given)
        kind = _type(schema)
        has_items = "items" in schema and depth < _DEEPEST and self._may_read()
        items = mapping_in(schema.get("items"))
        description = str(schema.get("description") or "")
        return Parameter(
            name=name,
            type=kind,
            role=_role(name, description, str(schema.get("format", ""))),
            required=required,
            schema=schema,
            choices=_choices(schema),
            about=frozenset(concepts(name_words(name)) | described(description)),
            inside=self._parameter(name, items, required=True, depth=depth + 1) if has_items else None,
            parts=self.parts(schema, depth=depth) if kind == "object" else self._places(name, schema, depth=depth),
        )

    def _places(self, name: str, schema: Mapping[str, Any], *, depth: int) -> list[Parameter]:
        """Gives the items of a tuple, each with a schema of its own."""
        return [
            self._parameter(name, mapping_in(one), required=True, depth=depth + 1)
            for one in list_in(schema.get("prefixItems"))
            if depth < _DEEPEST and self._may_read()
        ]

    def _plain(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follows references and takes the first choice that is not null."""
        for _ in range(_DEEPEST):
            following = self._following(schema)
            if following is None:
                break
            schema = {**{key: schema[key] for key in ("description", "default") if key in schema}, **following}
        return schema

    def _following(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/"):
            found = self._root
            for step in reference[2:].split("/"):
                found = mapping_in(found.get(step))
            return found
        for key in ("anyOf", "oneOf", "allOf"):
            if options := list_in(schema.get(key)):
                return next(
                    (one for one in map(mapping_in, options) if one and one.get("type") != "null"), mapping_in({})
                )
        return None


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if options := list_in(kind):
        kind = next((one for one in options if one != "null"), "string")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    return [value for value in list_in(schema.get("enum")) if value is not None]


def _role(name: str, description: str, form: str) -> str:
    if form in ("date", "date-time"):
        return "date"
    if form in ("time", "email", "uri"):
        return form.replace("uri", "url")
    named, told = name_words(name).split(), set(lower_words(description[:300]))
    exact = next((role for role, words in _ROLES.items() if words.intersection(named)), "")
    if exact:
        return exact
    strong = next((role for role in ("email", "phone", "place", "date", "code") if _ROLES[role] & told), "")
    weak = next((role for role, words in _WEAK_ROLES.items() if words.intersection(named)), "")
    return strong or weak or next((role for role, words in _ROLES.items() if words & told), "any")
