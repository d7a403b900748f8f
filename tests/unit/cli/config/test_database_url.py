"""The address of the database: no part of its password is ever shown."""

import pytest

from rolecall.app.errors import OperatorError
from rolecall.cli.config.database_url import load_database_config


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://rolecall:SECRET/SECRET==@db.example.org/rolecall?sslmode=verify-full",
        "postgresql://rolecall:SECRET/SECRET@localhost/rolecall",
        "postgresql://rolecall:1234/SECRET@localhost/rolecall?sslmode=require",
        "postgresql://rolecall:SE@localhost/SECRET@localhost/rolecall?sslmode=require",
    ],
)
def test_a_password_with_a_slash_is_refused(address: str) -> None:
    """Its rest would count as the name of a database, which messages show."""
    with pytest.raises(OperatorError, match="write '/' in a password as '%2F'") as refused:
        load_database_config("worker", pytest.fail, environ={"ROLECALL_DATABASE_URL": address})
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://me:a%2Fb%40c@localhost:5433/runs", '"runs" at localhost:5433 as me'),
        ("postgresql://me@/runs?host=/tmp/a&port=1", '"runs" at /tmp/a:1 as me'),
        ("postgresql:///a%40b", '"a@b" at the local socket'),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database, host and user are shown as they are."""
    for variable in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGSERVICE"):
        monkeypatch.delenv(variable, raising=False)
    config = load_database_config("worker", pytest.fail, environ={"ROLECALL_DATABASE_URL": address})
    assert config.place == place
