"""Sessions and facts about the run."""

import pytest

from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Identity, Session
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import import_job
from tests.unit.store.values import RUN


async def test_sessions_are_listed(store: RunStore, backend: Backend) -> None:
    """Each start of the command is stored with its account and its end; a close ends the latest session only."""
    await store.open_session("one", 10)
    await store.open_session("two", 20)
    await store.close_session("outage", 30)
    again = await backend.crash()
    assert await again.sessions() == [Session(10, None, "", "one"), Session(20, 30, "outage", "two")]


async def test_facts_are_stored_by_name(store: RunStore, backend: Backend) -> None:
    """A fact replaces the one of the same name; the others, and those of the identity, stay."""
    await import_job(store, [])
    await store.set_meta(finished="no", other="ü")
    await store.set_meta(finished="yes")
    await store.set_meta()
    facts = await (await backend.crash()).get_meta()
    assert (facts["finished"], facts["other"]) == ("yes", "ü")
    assert Identity(facts["workspace"], facts["operation"], facts["job_digest"]) == RUN


async def test_facts_outlast_a_new_import(store: RunStore) -> None:
    """A new version of the job replaces the facts that come with it and keeps the others."""
    await import_job(store, [], meta={"plan": "one", "kept": "yes"})
    await import_job(store, [], meta={"plan": "two"})
    facts = await store.get_meta()
    assert (facts["plan"], facts["kept"]) == ("two", "yes")


async def test_facts_are_stored_together(store: RunStore) -> None:
    """Where one fact cannot be stored, none of the call is."""
    await store.set_meta(one="old")
    with pytest.raises(StoreError):
        await store.set_meta(one="new", two=None)  # type: ignore[arg-type] # the fault: a fact that is no text
    assert await store.get_meta() == {"one": "old"}
    await store.set_meta(two="works")
