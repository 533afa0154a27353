"""Sentences that are kept with jobs are understood again."""

from __future__ import annotations

import re

import msgspec
import pytest

from saveos.jobs.model import RunsOn
from saveos.repositories.model import CheckpointWhy
from saveos.snapshots.outcomes import SENTENCES, Ended, told, understood
from saveos.snapshots.suspicion import Why
from saveos.ui import upkeep_words
from saveos.ui.words import Words
from tests.unit.snapshots.test_fleet import job


@pytest.mark.parametrize("ended", list(Ended))
def test_sentence_is_understood_again(ended: Ended) -> None:
    numbers = {name: 1000 + place for place, name in enumerate(re.findall(r"\{(\w+)\}", SENTENCES[ended]))}

    assert (ended, numbers) == understood(told(ended, **numbers))


@pytest.mark.parametrize("message", ["", "The host is to delete many archives.", "Nothing is to be removed. Not so."])
def test_another_sentence_is_not_understood(message: str) -> None:
    assert understood(message) is None


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_end_is_told_in_the_readers_words(language: str) -> None:
    for ended in Ended:
        numbers = dict.fromkeys(re.findall(r"\{(\w+)\}", SENTENCES[ended]), 3_400_000)
        ours = msgspec.structs.replace(job(), runs_on=RunsOn.APPLIANCE, message=told(ended, **numbers))

        said = upkeep_words.message(Words(language), ours)

        assert "3400000" not in said
        assert language == "en" or said != ours.message
        theirs = msgspec.structs.replace(ours, runs_on=RunsOn.HOST)
        assert theirs.message == upkeep_words.message(Words(language), theirs)  # a host may say what it likes


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_finding_and_reason_has_words(language: str) -> None:
    words = Words(language)

    said = upkeep_words.findings(words, {why.value: 2 for why in Why} | {"of-tomorrow": 1})

    assert len(Why) + 1 == len(set(said))
    assert ["of-tomorrow"] == [sentence for sentence in said if " " not in sentence]
    assert len(CheckpointWhy) == len({words.say(upkeep_words.WHYS[why]) for why in CheckpointWhy})
