"""aioresponses 0.7.9 with aiohttp 3.14: a response class that supplies the argument which the older tool leaves out."""

from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse


class Answer(ClientResponse):
    """A client response that can be made by aioresponses."""

    def __init__(self, *args: Any, **values: Any) -> None:
        values.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **values)
