"""All groups of the process, by their numbers: what may be asked of them and done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredLock, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger

from mm2ss.config.model import GroupConfig
from mm2ss.relay.group import GroupService
from mm2ss.relay.snapshot import Changes, GroupSnapshot, Standing
from mm2ss.relay.trace import Trace

#: Makes the group of a configuration; it is not started.
Make = Callable[[GroupConfig], GroupService]
#: Told of a group that has stopped, and of the one that takes its place (None = there is none);
#: fires when that one may be made.
Release = Callable[[GroupConfig, GroupConfig | None], Deferred[None]]


def nothingHeld(_old: GroupConfig, _new: GroupConfig | None) -> Deferred[None]:
    """The default `Release`: groups hold nothing that is to be given back."""
    return succeed(None)


class Fleet(MultiService):
    """The groups, each a `GroupService`; the object of a group is replaced when it restarts.

    Whatever replaces groups is done one after the other: what is asked for meanwhile waits.

    :param configs: the groups that there are from the start.
    """

    _log = Logger()

    def __init__(
        self, configs: Sequence[GroupConfig], make: Make, release: Release = nothingHeld
    ) -> None:
        MultiService.__init__(self)
        self._make = make
        self._release = release
        self._groups: dict[int, GroupService] = {}
        self._replacing = DeferredLock()
        for config in configs:
            self._add(config)

    # -- looking ----------------------------------------------------------------------------

    @property
    def numbers(self) -> list[int]:
        """The groups' numbers, in the order of the groups file."""
        return list(self._groups)

    def config(self, number: int) -> GroupConfig:
        """The configuration that a group runs with.

        :raises KeyError: there is no such group.
        """
        return self._groups[number].config

    def snapshot(self, number: int) -> GroupSnapshot:
        """A group's figures of this moment.

        :raises KeyError: there is no such group.
        """
        return self._groups[number].snapshot()

    def snapshots(self) -> list[GroupSnapshot]:
        """The figures of all groups, in the order of `numbers`."""
        return [group.snapshot() for group in self._groups.values()]

    def trace(self, number: int) -> Trace:
        """What a group's connections said last; it outlives the group's restarts.

        :raises KeyError: there is no such group.
        """
        return self._groups[number].trace

    def standings(self) -> list[Standing]:
        """How all groups stand: a thousand of them in some milliseconds."""
        return [group.standing() for group in self._groups.values()]

    def portProblem(self) -> str:
        """Why no group can use its port; empty when at least one can (or there is none)."""
        problems = []
        for group in self._groups.values():  # the first that is free ends the search
            problem = group.portProblem()
            if not problem:
                return ""
            problems.append(problem)
        return "; ".join(problems[:3])

    # -- commands ---------------------------------------------------------------------------

    def disconnect(self, number: int, peer: str) -> int:
        """Disconnect a group's masters.

        :param peer: address and port of one (``127.0.0.1:5000``), or an address.
        :return: how many there were.
        :raises KeyError: there is no such group.
        """
        return self._groups[number].disconnect(peer)

    def restart(self, number: int, config: GroupConfig | None = None) -> Deferred[None]:
        """Stop a group in order and start it anew; fires when it has begun to connect.

        :param config: what it is to run with from now on; None = what it runs with.
        :raises KeyError: there is no such group.
        :raises ValueError: the configuration is another group's.
        """
        if number not in self._groups:
            raise KeyError(number)
        if config is not None and config.id != number:
            raise ValueError(f"the configuration of group {config.id} for group {number}")
        return self._replacing.run(lambda: Deferred.fromCoroutine(self._restart(number, config)))

    def apply(self, configs: Sequence[GroupConfig]) -> Deferred[Changes]:
        """Make these the groups that there are.

        Groups whose configuration is what they run with are not touched. The others stop in
        order, all at once; when the last one has stopped, the changed and the new ones start.

        :return: fires when they have begun to connect.
        """
        return self._replacing.run(lambda: Deferred.fromCoroutine(self._apply(configs)))

    def stopService(self) -> Deferred[Any]:
        """Stop all groups at once; fires when nothing is left."""
        stopping = maybeDeferred(MultiService.stopService, self)
        # What is being replaced has left the fleet already: its replacement is waited for, and
        # does not start any more.
        return gatherResults([stopping, self._replacing.run(lambda: None)], consumeErrors=True)

    # -- replacing --------------------------------------------------------------------------

    async def _restart(self, number: int, config: GroupConfig | None) -> None:
        if number in self._groups:  # it may have gone while this waited
            await self._replace([number], [config or self._groups[number].config])

    async def _apply(self, configs: Sequence[GroupConfig]) -> Changes:
        wanted = {config.id: config for config in configs}
        groups = self._groups
        unchanged = [n for n in wanted if n in groups and groups[n].config == wanted[n]]
        touched = wanted.keys() - set(unchanged)
        changed = [n for n in wanted if n in touched and n in groups]
        added = [n for n in wanted if n in touched and n not in groups]
        removed = [n for n in groups if n not in wanted]
        await self._replace([*changed, *removed], [wanted[n] for n in (*changed, *added)])
        self._groups = {n: groups[n] for n in wanted if n in groups}
        return Changes(tuple(unchanged), tuple(changed), tuple(added), tuple(removed))

    async def _replace(self, leaving: Sequence[int], coming: Sequence[GroupConfig]) -> None:
        """Stop some groups, then start others, which may want the ports of the former."""
        groups = [self._groups[number] for number in leaving]
        successors = {config.id: config for config in coming}
        await gatherResults([self._stop(group) for group in groups])
        await gatherResults(
            [self._give(group.config, successors.get(group.config.id)) for group in groups]
        )
        for number in leaving:
            del self._groups[number]
        for config in coming:
            try:
                self._add(config)
            except Exception:  # the others must not suffer
                self._log.failure("The group cannot be started", group=config.id, peer="-")

    def _stop(self, group: GroupService) -> Deferred[Any]:
        stopped = maybeDeferred(IService(group).disownServiceParent)
        return stopped.addErrback(
            lambda why: self._log.failure("Stopping failed", why, group=group.config.id, peer="-")
        )

    def _give(self, old: GroupConfig, new: GroupConfig | None) -> Deferred[Any]:
        return maybeDeferred(self._release, old, new).addErrback(
            lambda why: self._log.failure("Stopping failed", why, group=old.id, peer="-")
        )

    def _add(self, config: GroupConfig) -> None:
        """Make a group; it starts if the fleet runs."""
        group = self._groups[config.id] = self._make(config)
        IService(group).setServiceParent(self)
