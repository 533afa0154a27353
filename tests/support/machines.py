"""Five kinds of machine and what ransomware does to them, as the numbers that their backups would send. All seeded.

Each `Machine` lives day by day: it keeps how many files it has and how large they are, and says for each backup how
many of them changed, came and went, and how much of that looked like noise.
"""

# ruff: noqa: S311 - dice of a test

from __future__ import annotations

import random
from dataclasses import dataclass, field

from saveos.protocol import GuardFacts, SampledFacts
from saveos.snapshots.anomaly import Run

MEGABYTE = 1_000_000


@dataclass
class Day:
    """What happened since the last backup. `noise`: shares of files that are noise of no known format."""

    changed: int = 0
    new: int = 0
    vanished: int = 0
    renamed: int = 0
    one_extension: int = 0
    changed_noise: float = 0.0
    new_noise: float = 0.0
    broken: int = 0  # among the changed ones
    new_broken: int = 0
    promised: float = 0.5  # share of names that promise a format
    added_bytes: int = 0
    entropy: float = 5.0

    def __add__(self, other: Day) -> Day:
        """Both in one day."""
        changed, new = self.changed + other.changed, self.new + other.new
        return Day(
            changed=changed,
            new=new,
            vanished=self.vanished + other.vanished,
            renamed=self.renamed + other.renamed,
            one_extension=max(self.one_extension, other.one_extension),
            changed_noise=_mean(self.changed_noise, self.changed, other.changed_noise, other.changed),
            new_noise=_mean(self.new_noise, self.new, other.new_noise, other.new),
            broken=self.broken + other.broken,
            new_broken=self.new_broken + other.new_broken,
            promised=self.promised,
            added_bytes=self.added_bytes + other.added_bytes,
            entropy=max(self.entropy, other.entropy),
        )


@dataclass
class Machine:
    """What all kinds share."""

    seed: int
    files: int = 0
    size: int = 0  # bytes
    today: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Be born with its own size."""
        self.dice = random.Random(f"{type(self).__name__} {self.seed}")
        self.begin()

    def begin(self) -> None:
        """Have some files."""
        raise NotImplementedError

    def live(self) -> Day:
        """Return an ordinary day."""
        raise NotImplementedError

    def near(self, middle: float, spread: float = 0.5) -> int:
        """Return about so many: days differ by a factor rather than by a sum."""
        return int(middle * self.dice.lognormvariate(0, spread))

    def first(self) -> Run:
        """Return the first backup: all is new."""
        count = SampledFacts(count=self.files, promised=self.files // 2, random=self.files // 2000)
        facts = GuardFacts(new_files=self.files, new=count)
        return Run(facts=facts, files_count=self.files, original_bytes=self.size, added_bytes=self.size // 2)

    def back_up(self, *harm: Day) -> Run:
        """Live for a day, suffer harm, and back up."""
        day = self.live()
        if self.today in self.upgrades():
            day += self.upgrade()
        if self.today == self.move_day():
            moved = int(self.files * self.dice.uniform(0.05, 0.4))
            day += Day(new=moved, vanished=moved)  # not a byte of it is new
        for more in harm:
            day += more
        self.today += 1
        return self._said(day)

    def upgrades(self) -> set[int]:
        """Return the days on which the system is upgraded: two small ones and a large one."""
        return set(random.Random(self.seed).sample(range(8, 30), 3))

    def move_day(self) -> int:
        """Return the day on which somebody moves a large folder."""
        return random.Random(-self.seed).randrange(8, 30)

    def upgrade(self) -> Day:
        """Return what a package manager does: programs and libraries, no noise."""
        share = self.dice.choice((0.01, 0.03, 0.08))
        count = int(self.system_files() * share * self.dice.uniform(0.5, 1.5))
        return Day(
            changed=count, new=count // 3, vanished=count // 4, promised=0.2, added_bytes=count * 20_000, entropy=6.2
        )

    def system_files(self) -> int:
        """Return how many files are the system's."""
        return min(60_000, self.files // 2)

    def _said(self, day: Day) -> Run:
        changed = min(day.changed, self.files)
        vanished = min(day.vanished, self.files - 1)
        unchanged = max(0, self.files - changed - vanished)
        self.files = max(1, unchanged + changed + day.new)
        self.size = max(day.added_bytes, self.size + int(0.8 * day.added_bytes))
        facts = GuardFacts(
            unchanged_files=unchanged,
            changed_files=changed,
            new_files=day.new,
            changed=SampledFacts(
                count=changed,
                random=int(changed * min(1.0, day.changed_noise)),
                promised=max(day.broken, int(changed * day.promised)),
                broken=day.broken,
                entropy=min(8.0, day.entropy),
            ),
            new=SampledFacts(
                count=day.new,
                random=int(day.new * min(1.0, day.new_noise)),
                promised=max(day.new_broken, int(day.new * day.promised)),
                broken=day.new_broken,
                entropy=min(8.0, day.entropy),
            ),
            vanished_files=vanished,
            appeared_files=day.new,
            renamed_files=day.renamed,
            one_extension_files=day.one_extension,
        )
        return Run(facts=facts, files_count=self.files, original_bytes=self.size, added_bytes=day.added_bytes)


class DatabaseServer(Machine):
    """Few files; the large ones change every day, some with compressed or encrypted pages; a dump each night."""

    def begin(self) -> None:
        """Have tables of some hundred gigabytes, and a system or the data alone."""
        self.files = self.dice.choice((400, 3_000, 65_000))
        self.size = self.near(200_000 * MEGABYTE)

    def live(self) -> Day:
        """Write to the tables, turn logs over, keep the last dumps."""
        tables = self.near(180, 0.3)
        return Day(
            changed=tables,
            new=self.near(12),
            vanished=self.near(11),
            renamed=self.near(4),
            one_extension=self.near(3),
            changed_noise=self.dice.uniform(0.0, 0.35),
            new_noise=self.dice.uniform(0.0, 0.2),
            promised=0.2,
            added_bytes=self.near(0.04 * self.size),
            entropy=self.dice.uniform(4, 7.4),
        )


class MailServer(Machine):
    """Each message is a file: many are new every day, and many are moved from folder to folder."""

    def begin(self) -> None:
        """Have years of mail."""
        self.files = self.near(400_000)
        self.size = self.files * 60_000

    def live(self) -> Day:
        """Take in mail on working days; move it, which gives it another name; clear out spam."""
        busy = 1.0 if self.today % 7 < 5 else 0.15
        came, moved = self.near(6_000 * busy), self.near(3_000 * busy)
        cleared = self.near(20_000) if self.today % 14 == 9 else self.near(1_500)
        return Day(
            changed=self.near(500),
            new=came + moved,
            vanished=moved + cleared,
            renamed=self.near(2_000 * busy),  # the flags of a message stand at the end of its name
            one_extension=self.near(60),
            new_noise=0.002,
            promised=0.05,
            added_bytes=came * 60_000,
            entropy=self.dice.uniform(5, 6),
        )


class Developer(Machine):
    """Checkouts, builds and packages: tens of thousands of files come and go in a day, and come again."""

    def begin(self) -> None:
        """Have a home full of projects."""
        self.files = self.near(220_000, 0.3)
        self.size = self.files * 25_000

    def live(self) -> Day:
        """Edit and build; some days a whole tree of packages is thrown away and installed anew, or a branch changes."""
        day = Day(
            changed=self.near(2_000),
            new=self.near(3_000),
            vanished=self.near(2_500),
            renamed=self.near(100),
            one_extension=self.near(80),
            changed_noise=0.03,  # caches of compilers
            new_noise=0.02,
            broken=self.dice.randrange(3),
            promised=0.8,
            added_bytes=self.near(300 * MEGABYTE),
        )
        if self.dice.random() < 0.25:
            count = min(self.near(50_000, 0.3), self.files // 2)
            went, came = self.dice.choice(((count, 0), (0, count), (count, count)))
            day += Day(new=came, vanished=went, new_noise=0.01, promised=0.9, added_bytes=came * 3_000)
        if self.dice.random() < 0.15:
            count = self.near(9_000)  # another branch
            day += Day(changed=count, new=count // 5, vanished=count // 6, promised=0.9, added_bytes=count * 4_000)
        if self.dice.random() < 0.03:
            count = self.near(1_500)  # a project turns from one language to another
            day += Day(
                new=count, vanished=count, renamed=count, one_extension=count, promised=1.0, added_bytes=count * 5_000
            )
        return day


class OfficeServer(Machine):
    """Documents that are packed, which changes all of a file when a word changes; pictures, archives, exports."""

    def begin(self) -> None:
        """Have the files of an office."""
        self.files = self.near(100_000)
        self.size = self.files * 900_000

    def live(self) -> Day:
        """Work on working days; at the end of a month a batch of reports."""
        busy = 1.0 if self.today % 7 < 5 else 0.05
        day = Day(
            changed=self.near(700 * busy),
            new=self.near(400 * busy),
            vanished=self.near(250 * busy),
            renamed=self.near(20 * busy),
            one_extension=self.near(12 * busy),
            changed_noise=0.01,
            new_noise=0.02,  # what people encrypt themselves, under names that promise nothing
            broken=self.dice.randrange(4),
            new_broken=self.dice.randrange(3),
            promised=0.9,
            added_bytes=self.near(900 * MEGABYTE * busy),
            entropy=7.6,  # packed documents
        )
        if self.today % 30 == 27:
            day += Day(changed=self.near(3_000), new=self.near(2_000), promised=1.0, added_bytes=4_000 * MEGABYTE)
        return day


class Photographer(Machine):
    """A laptop: quiet days, then thousands of raw pictures at once; now and then all of a shoot is exported."""

    def begin(self) -> None:
        """Have a library of pictures."""
        self.files = self.near(60_000)
        self.size = self.files * 18 * MEGABYTE

    def live(self) -> Day:
        """Sort, develop, export; after a day out, import."""
        day = Day(
            changed=self.near(300),
            new=self.near(150),
            vanished=self.near(80),
            renamed=self.near(5),
            one_extension=self.near(5),
            changed_noise=0.05,
            new_noise=0.03,  # previews and caches
            promised=0.8,
            added_bytes=self.near(600 * MEGABYTE),
            entropy=7.8,
        )
        if self.dice.random() < 0.2:
            shot = self.near(2_500)
            day += Day(new=shot, promised=1.0, added_bytes=shot * 28 * MEGABYTE, entropy=7.9)
        if self.dice.random() < 0.1:
            count = self.near(900)  # raw pictures become another format, and the former ones go
            day += Day(
                new=count,
                vanished=count,
                renamed=count,
                one_extension=count,
                promised=1.0,
                added_bytes=count * 22 * MEGABYTE,
                entropy=7.9,
            )
        return day


MACHINES = (DatabaseServer, MailServer, Developer, OfficeServer, Photographer)


def in_place(machine: Machine, share: float = 0.3) -> Day:
    """Encrypt a share of all files where they are, under their names."""
    count = int(machine.files * share)
    return Day(
        changed=count,
        changed_noise=1.0,
        broken=count // 2,
        promised=0.5,
        added_bytes=int(machine.size * share),
        entropy=7.99,
    )


def with_ending(machine: Machine, share: float = 0.3) -> Day:
    """Encrypt and give each file one further ending, which promises nothing."""
    count = int(machine.files * share)
    return Day(
        new=count,
        vanished=count,
        renamed=count,
        one_extension=count,
        new_noise=1.0,
        promised=0.0,
        added_bytes=int(machine.size * share),
        entropy=7.99,
    )


def with_random_endings(machine: Machine, share: float = 0.3) -> Day:
    """Encrypt and give each file an ending of its own."""
    return _changed(with_ending(machine, share), one_extension=1)


def with_random_names(machine: Machine, share: float = 0.3) -> Day:
    """Encrypt into files whose names have nothing of the former ones."""
    return _changed(with_ending(machine, share), one_extension=0, renamed=0)


def in_parts(machine: Machine, share: float = 0.3) -> Day:
    """Encrypt pieces in the middle and leave every beginning as it was: no content looks like noise at a glance."""
    count = int(machine.files * share)
    return Day(changed=count, changed_noise=0.05, added_bytes=int(machine.size * share), entropy=7.4)


def wiped(machine: Machine, share: float = 0.7) -> Day:
    """Delete."""
    return Day(vanished=int(machine.files * share))


def slowly(machine: Machine, share: float = 0.004) -> Day:
    """Encrypt a little each day."""
    return in_place(machine, share)


def _changed(day: Day, **values: int) -> Day:
    for name, value in values.items():
        setattr(day, name, value)
    return day


def _mean(one: float, weight: int, other: float, more: int) -> float:
    return (one * weight + other * more) / (weight + more) if weight + more else 0.0
