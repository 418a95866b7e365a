"""What a docstring tells the model."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta

from realtime_events.tools.docstring import read_docstring
from realtime_events.tools.registry import make_tool

GOOGLE = """Look up the weather.

    It is the weather of now.

    Args:
        city: The city's name, such as "Bern",
            or its code.
        unit (str): The unit.

    Returns:
        The weather.

    Raises:
        ValueError: never.
    """
NUMPY = """Look up the weather.

    It is the weather of now.

    Parameters
    ----------
    city : str
        The city's name, such as "Bern",
        or its code.
    unit : str, optional
        The unit.

    Returns
    -------
    str
        The weather.
    """
SPHINX = """Look up the weather.

    It is the weather of now.

    :param city: The city's name, such as "Bern",
        or its code.
    :param str unit: The unit.
    :returns: The weather.
    """


@pytest.mark.parametrize("source", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_each_style_gives_the_same_description_and_parameters(source: str) -> None:
    """The model reads what the tool does, not what it returns or raises."""
    doc = read_docstring(source)
    assert doc.text == "Look up the weather.\n\nIt is the weather of now."
    assert doc.parameters == {"city": 'The city\'s name, such as "Bern", or its code.', "unit": "The unit."}


@pytest.mark.parametrize("source", [None, "", "  \n "])
def test_no_docstring_says_nothing(source: str | None) -> None:
    """A tool without a docstring is a tool."""
    assert read_docstring(source) == ("", {})


def test_a_docstring_that_no_style_can_read_is_the_description() -> None:
    """Nothing is lost."""
    assert read_docstring("Look it up.\n\n:param").text.startswith("Look it up.")


def test_a_description_in_the_annotation_wins_over_the_docstring() -> None:
    """What stands nearest to the parameter holds."""

    def look_up(city: Annotated[str, Meta(description="Its name.")], unit: str) -> None:
        """Look up.

        Args:
            city: Something else.
            unit: The unit.
        """

    properties = make_tool(look_up).parameters["properties"]
    assert properties["city"]["description"] == "Its name."
    assert properties["unit"]["description"] == "The unit."
