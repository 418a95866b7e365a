"""A tool's parameters, read from its JSON Schema.

Owns what a parameter is for the rules: its type, its choices, and its role, which is what kind of value it wants said.
Knows no conversation. A schema that makes no sense gives fewer parameters, never an error. After it: `arguments.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..events.base import Struct
from .language import concepts, described, lower_words, name_words, word_set

__all__ = ["Parameter", "parameters_of"]

_DEEPEST = 8  # a schema may refer to itself

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
    about, `inside` the parameter of an array's items, `parts` those of an object.
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
    return _parts(schema, root=schema, depth=0) if isinstance(schema, Mapping) else []


def _parts(schema: Mapping[str, Any], *, root: Mapping[str, Any], depth: int) -> list[Parameter]:
    properties = schema.get("properties")
    required = schema.get("required")
    needed = set(map(str, required)) if isinstance(required, list) else set[str]()
    if not isinstance(properties, Mapping) or depth > _DEEPEST:
        return []
    return [
        _parameter(name, one, required=name in needed, root=root, depth=depth + 1)
        for name, one in properties.items()
        if isinstance(name, str) and isinstance(one, Mapping)
    ]


def _parameter(
    name: str, given: Mapping[str, Any], *, required: bool, root: Mapping[str, Any], depth: int
) -> Parameter:
    schema = _plain(given, root)
    kind = _type(schema)
    items = schema.get("items")
    inside = isinstance(items, Mapping) and depth <= _DEEPEST
    description = str(schema.get("description") or given.get("description") or "")
    return Parameter(
        name=name,
        type=kind,
        role=_role(name, description, str(schema.get("format", ""))),
        required=required,
        schema=schema,
        choices=_choices(schema),
        about=frozenset(concepts(name_words(name)) | described(description)),
        inside=_parameter(name, items, required=True, root=root, depth=depth + 1) if inside else None,
        parts=_parts(schema, root=root, depth=depth) if kind == "object" else (),
    )


def _plain(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follows references and takes the first choice that is not null."""
    for _ in range(_DEEPEST):
        following = _following(schema, root)
        if following is None:
            break
        schema = {**{key: schema[key] for key in ("description", "default") if key in schema}, **following}
    return schema


def _following(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = root
        for step in reference[2:].split("/"):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        if isinstance(options, list):
            return next((one for one in options if isinstance(one, Mapping) and one.get("type") != "null"), {})
    return None


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return [value for value in values if value is not None] if isinstance(values, list) else []


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
