"""Each story is played once, when it is first asked for, in a copy of one demo instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from demoinstance import DemoInstance
from story import Story
from storyplay import Played, play


@pytest.fixture(scope="session")
def played(demo: DemoInstance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Story], Played]]:
    """Play a story, or give what it left when it was played before."""
    known: dict[str, Played] = {}

    def one(story: Story) -> Played:
        if story.name not in known:
            known[story.name] = play(story, demo, tmp_path_factory.mktemp(story.name))
        return known[story.name]

    yield one
    known.clear()
