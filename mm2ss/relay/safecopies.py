"""Which group has which part of the journal, also when groups change while the process runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, succeed

from mm2ss.config.model import GroupConfig
from mm2ss.relay.journal import GroupJournal, JournalService
from mm2ss.relay.journalapi import GroupKey, Hold, JournalFigures, SafeCopy


def keyOf(config: GroupConfig) -> GroupKey | None:
    """Under which key a group's events are in the journal; None = it uses none."""
    if not config.options.journalled:
        return None
    return GroupKey(config.id, config.commonAddress, config.name)


class SafeCopies(MultiService):
    """The groups' parts of the journal, and the journal, which exists once a group uses it.

    :param makeJournal: makes the journal.
    """

    def __init__(self, makeJournal: Callable[[], JournalService]) -> None:
        MultiService.__init__(self)
        self._makeJournal = makeJournal
        self._journal: JournalService | None = None
        self._copies: dict[int, GroupJournal] = {}

    @property
    def needed(self) -> bool:
        """Whether any group uses the journal, or has used it."""
        return self._journal is not None

    def figures(self) -> JournalFigures | None:
        """Those of the journal; None while there is none."""
        return None if self._journal is None else self._journal.figures

    def prepare(self, configs: Iterable[GroupConfig]) -> None:
        """Before groups are opened while the service runs: have a journal, if one is needed.

        :raises mm2ss.relay.journalapi.JournalError: it cannot be used.
        """
        keys = [key for key in map(keyOf, configs) if key is not None]
        if self._journal is not None or not keys:
            return
        journal = self._makeJournal()
        journal.expected = keys
        try:
            IService(journal).setServiceParent(self)
        except BaseException:
            IService(journal).disownServiceParent()
            raise
        self._journal = journal

    def open(self, config: GroupConfig) -> SafeCopy | None:
        """A group's part; None when it uses none.

        :raises ValueError: its key is open already.
        """
        key = keyOf(config)
        if key is None:
            return None
        if self._journal is None:
            self._journal = self._makeJournal()
            IService(self._journal).setServiceParent(self)
        options = config.options
        hold = Hold(options.holdMax.frames, options.holdMax.octets, options.holdAge)
        copy = self._copies[config.id] = self._journal.open(key, hold)
        return copy

    def release(self, old: GroupConfig, new: GroupConfig | None) -> Deferred[None]:
        """A group has stopped. The one that takes its place gets what is held, if it has the same
        key; else that is set aside.

        :return: fires when the new one may be opened.
        """
        copy = self._copies.pop(old.id, None)
        if copy is None or self._journal is None:
            return succeed(None)
        return self._journal.close(copy, keep=new is not None and keyOf(new) == copy.key)
