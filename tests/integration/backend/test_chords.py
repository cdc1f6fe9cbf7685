"""Chords: the completed tasks are counted once, also when a commit's reply is lost."""

import pytest
from django_celery_results.models import ChordCounter

from tasks_admin.backend.chords import ChordPart
from tests.integration.backend.test_rows import require_postgresql

pytestmark = pytest.mark.django_db(transaction=True)


class TestChords:
    """Each finished task of a chord counts once."""

    def test_last_task_returns_the_counter(self):
        ChordCounter.objects.create(group_id="g", sub_tasks="[]", count=2)

        assert ChordPart("g").count() is None
        assert ChordPart("g").count().group_id == "g"
        assert not ChordCounter.objects.exists()

    def test_commit_whose_reply_was_lost(self):
        require_postgresql()
        ChordCounter.objects.create(group_id="g", sub_tasks="[]", count=3)
        part = ChordPart("g")

        for _ in range(2):  # as the backend does after an error
            assert part.count() is None

        assert ChordCounter.objects.get().count == 2

    def test_unknown_chord(self, caplog):
        assert ChordPart("g").count() is None
