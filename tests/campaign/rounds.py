"""Plays one scenario: the installed command against a sandbox, interrupted and resumed until the job is done."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from rolecall.models import Evidence, Outcome
from rolecall.sandbox import ACCOUNT, Account, Call, FaultPlan, Kind, Sandbox, apply_role_change
from rolecall.sandbox.write_routes import CHANGES
from tests.campaign.harms import faketime_environment, fill_disk, read_only_words, step_clock
from tests.campaign.judge import Gap, History, judge, judge_rows, judge_undo
from tests.campaign.scenario import (
    ADMIN,
    ANSWER_TIMEOUT,
    DELETIONS,
    SECOND_ACCOUNT,
    Harm,
    Interruption,
    Scenario,
    draw,
)
from tests.support.command import ROLECALL, environment, read_report, rolecall, start, write_job
from tests.support.truth import Pair, change_as_other

MAX_SESSIONS = 12
FINISHED = (0, 1)


class Round(NamedTuple):
    """The figures of one round."""

    rows: int
    calls: int
    kills: int
    pauses: int
    harms: int
    repeated: int
    undone: int
    outcomes: Counter[str]
    """Rows by outcome and evidence."""

    def plus(self, other: "Round") -> "Round":
        """Return the sum of two rounds."""
        return Round(
            self.rows + other.rows,
            self.calls + other.calls,
            self.kills + other.kills,
            self.pauses + other.pauses,
            self.harms + other.harms,
            self.repeated + other.repeated,
            self.undone + other.undone,
            self.outcomes + other.outcomes,
        )


NOTHING = Round(0, 0, 0, 0, 0, 0, 0, Counter())


@dataclass
class Play:
    """One round that is being played."""

    scenario: Scenario
    sandbox: Sandbox
    folder: Path
    gaps: list[Gap] = field(default_factory=list)
    kills: int = 0
    pauses: int = 0
    harms: int = 0
    sessions: int = 0
    lost_calls: int = 0
    """The calls until the store was deleted the last time."""

    @property
    def history(self) -> History:
        """What happened to the job from outside."""
        return History(self.scenario.lines_of(self.sessions - 1), self.gaps, self.lost_calls)

    async def until_done(self) -> int:
        """Start the worker again and again until the job is done; return the exit code."""
        left, accounts = list(self.scenario.interruptions), list(self.scenario.accounts)
        code = -1
        for _ in range(MAX_SESSIONS):
            account = accounts.pop(0) if len(accounts) > 1 else accounts[0]
            interruption = left.pop(0) if left else None
            code = await self._session(account, interruption)
            if code in FINISHED and not left and (self.folder / "o").exists():
                break
        return code

    async def _session(self, account: Account, interruption: Interruption | None) -> int:
        write_job(self.folder / "job.csv", self.scenario.lines_of(self.sessions))
        self.sessions += 1
        harm, calls = interruption.harm if interruption is not None else None, len(self.scenario.world.calls)
        env = environment_of(self.sandbox, account)
        if self.scenario.has_clock_steps:
            env |= faketime_environment(self.folder)
        program = await read_only_words(self.folder / "o") if harm is Harm.READ_ONLY else (str(ROLECALL),)
        worker = await start(*self._words(), cwd=self.folder, env=env, program=program)
        async with beside(self._interrupt(worker, interruption)):
            _, stderr = await worker.communicate()
        if interruption is not None and (
            worker.returncode == -signal.SIGKILL or len(interruption.signals) > 1 or harm not in (None, Harm.CLOCK)
        ):
            # One SIGINT or SIGTERM alone awaits every answer, and excuses nothing.
            self.gaps.append(Gap(time.time(), time.time()))
        if harm is Harm.READ_ONLY and len(program) > 1:
            self.harms += 1
            sent = [call for call in self.scenario.world.calls[calls:] if call.route in CHANGES]
            assert not sent, f"sent on a read-only disk: {sent}"
            assert worker.returncode in (2, 3, 4), (worker.returncode, stderr.decode())
        if harm is Harm.STORE_DELETED and not (self.folder / "o/ledger.sqlite").exists():
            self._lose_run(stderr.decode())
        # A signal in the first milliseconds interrupts Python's own start, before any code of ours runs.
        assert b"Traceback" not in stderr or b"init_import_site" in stderr, stderr.decode()
        assert b"a defect" not in stderr, stderr.decode()
        return worker.returncode if worker.returncode is not None else -1

    def _lose_run(self, stderr: str) -> None:
        """Put the folder of a run without its store aside, after a check of the report that it may have left."""
        if "is only in" in stderr:
            judge_rows(self.scenario, read_report(self.folder / "o"), self.lost_calls, stopped=True)
        if (self.folder / "o").exists():
            (self.folder / "o").rename(self.folder / f"lost-{self.sessions}")
        self.lost_calls = len(self.scenario.world.calls)

    def _words(self) -> list[str]:
        scenario = self.scenario
        # Under the library that steps the clock everything takes longer.
        more = 2.0 if scenario.has_clock_steps else 0.0
        words = (
            *("run", "job.csv", "--out", "o", "--rate", "unlimited", "--concurrency", scenario.concurrency),
            *("--max-attempts", 3, "--retry-backoff", 0.02),
            *("--timeout", ANSWER_TIMEOUT - 0.5 + more, "--connect-timeout", 0.5 + more),
            *("--max-failures", "100%", "--max-removals", "100%", "--outage-timeout", 3, "--shutdown-timeout", 5),
            "--room-cache" if scenario.room_cache else "--no-room-cache",
            "--read-roles" if scenario.read_roles else "--no-read-roles",
            "--message-evidence" if scenario.message_evidence else "--no-message-evidence",
        )
        return list(map(str, words))

    async def _interrupt(self, worker: asyncio.subprocess.Process, interruption: Interruption | None) -> None:
        if interruption is None:
            return
        # A store that is deleted before the worker opens it is no loss: a new run begins.
        after_calls = max(interruption.after_calls, 1 if interruption.harm in DELETIONS else 0)
        await self.sandbox.wait_for_calls(len(self.sandbox.world.calls) + after_calls)
        await asyncio.sleep(interruption.and_seconds)
        with contextlib.suppress(ProcessLookupError):
            if interruption.harm is not None:
                self._harm(worker, interruption.harm, interruption.amount)
            elif not interruption.signals:
                await self._pause(worker, interruption.pause)
            for number in interruption.signals:
                worker.send_signal(number)
                self.kills += number is signal.SIGKILL
                await asyncio.sleep(0.01)

    def _harm(self, worker: asyncio.subprocess.Process, harm: Harm, amount: int) -> None:
        self.harms += harm is not Harm.READ_ONLY
        if harm in DELETIONS:
            (self.folder / "o" / harm.value).unlink(missing_ok=True)
        elif harm is Harm.FULL_DISK:
            fill_disk(worker.pid, amount)
        elif harm is Harm.CLOCK:
            step_clock(self.folder, amount)

    async def _pause(self, worker: asyncio.subprocess.Process, seconds: float) -> None:
        started = time.time()
        worker.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            worker.send_signal(signal.SIGCONT)
            self.pauses += 1
            self.gaps.append(Gap(started, time.time() + 1.0))  # what had arrived may still time out

    async def go_away_once(self) -> None:
        """Take the workspace away for a while."""
        if self.scenario.outage_after_calls is None:
            return
        await self.sandbox.wait_for_calls(self.scenario.outage_after_calls)
        await self.sandbox.stop_listening()
        self.gaps.append(Gap(time.time(), time.time()))
        await asyncio.sleep(self.scenario.outage_seconds)
        await self.sandbox.resume()

    async def act_as_others(self) -> None:
        """Change roles as another administrator."""
        for other in sorted(self.scenario.others, key=lambda other: other.after_calls):
            await self.sandbox.wait_for_calls(other.after_calls)
            self._set_clock()
            change_as_other(self.scenario.world, ADMIN, other.pair, adds=other.adds)

    async def carry_out_late(self) -> None:
        """Carry out the calls that hung before acting, some time after the worker gave them up."""
        if self.scenario.late is None:
            return
        world, seen = self.scenario.world, 0
        while True:
            await self.sandbox.wait_for_calls(seen + 1)
            new, seen = world.calls[seen:], len(world.calls)
            hung = [call for call in new if call.fault == Kind.HANG_BEFORE and call.route in CHANGES]
            if hung:
                await asyncio.sleep(self.scenario.late)
                self._set_clock()
                for call in hung:
                    self._carry_out(call)

    def _carry_out(self, call: Call) -> None:
        room = self.scenario.world.rooms.get(call.room_id)
        if room is None or room.archived or ACCOUNT.user_id not in room.members or call.user_id not in room.members:
            return
        if room.members[call.user_id] is None or room.has_role(call.user_id, "leader"):
            apply_role_change(self.scenario.world, call.caller_id, call.room_id, call.user_id)

    def _set_clock(self) -> None:
        self.scenario.world.now = time.time() + self.sandbox.skew


@contextlib.asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do this work beside the block, until the block ends. What the work raises is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def environment_of(sandbox: Sandbox, account: Account) -> dict[str, str]:
    """Return the environment of a session with this account."""
    return environment(sandbox.url, ROCKETCHAT_USER_ID=account.user_id, ROCKETCHAT_AUTH_TOKEN=account.token)


async def play(seed: int, folder: Path) -> Round:
    """Play the round of a seed in an empty folder. Raises Violation."""
    scenario = draw(Random(seed))
    before = scenario.world.pairs_with_role("leader")
    plan = FaultPlan(scenario.faults, seed=seed)
    async with Sandbox(
        scenario.world, limiter=scenario.limiter, faults=plan, latency=scenario.latency, skew=seed % 200 - 100.0
    ) as sandbox:
        round_ = Play(scenario, sandbox, folder)
        async with beside(round_.go_away_once(), round_.act_as_others(), round_.carry_out_late()):
            code = await round_.until_done()
        await sandbox.resume()
        report = read_report(folder / "o")
        repeated = judge(scenario, report, round_.history, stopped=code not in FINISHED)
        calls = len(scenario.world.calls)
        undone = await _undo(round_, before, report)
    _look_for_the_tokens(folder)
    outcomes = Counter(f"{row['outcome']} {row['evidence']}".strip() for row in report)
    return Round(len(report), calls, round_.kills, round_.pauses, round_.harms, repeated, undone, outcomes)


async def _undo(round_: Play, before: set[Pair], report: list[dict[str, str]]) -> int:
    """Undo the run without any fault and compare the roles; return the number of rows that were undone."""
    if not any(row["outcome"] == Outcome.REMOVED and row["evidence"] != Evidence.INFERRED for row in report):
        return 0
    round_.sandbox.faults.clear()
    env = environment_of(round_.sandbox, ACCOUNT)
    ended = await rolecall("undo", "o", "--yes", "--rate", "unlimited", cwd=round_.folder, env=env)
    assert ended.code in FINISHED, ended.stderr
    return judge_undo(round_.scenario, before, report, round_.lost_calls)


def _look_for_the_tokens(folder: Path) -> None:
    for path in (folder / "o").rglob("*"):
        for account in (ACCOUNT, SECOND_ACCOUNT):
            assert path.is_dir() or account.token.encode() not in path.read_bytes(), f"the token is in {path}"
