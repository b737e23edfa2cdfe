import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from fluxori.db.chunked_work import ChunkResult, ChunkSize, process_in_chunks
from fluxori.identity.models import User
from tests.support.factories.identity import UserFactory

IDS = [UUID(int=number) for number in range(1, 11)]


class Progress:
    """A callback that collects the ids that were processed, the busy ids, and the size of each chunk."""

    def __init__(self) -> None:
        self.worked: list[UUID] = []
        self.busy: list[UUID] = []
        self.counts: list[int] = []

    def __call__(self, done: ChunkResult[list[UUID]]) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.worked += [key for part in done.results for key in part]
        self.busy += done.busy
        self.counts.append(done.count)


def cut(ids: list[UUID], size: int) -> Iterator[list[UUID]]:
    return (ids[first : first + size] for first in range(0, len(ids), size))


def run(work: Callable[[list[UUID]], Any], *, jobs: int = 2, size: int = 2, progress: Any = None) -> Any:
    on_chunk_done = progress or Progress()
    process_in_chunks(cut(IDS, size), work, on_chunk_done, jobs=jobs)
    return on_chunk_done


@pytest.mark.django_db(transaction=True)
class TestProcessInChunks:
    @pytest.mark.parametrize("jobs", [1, 2, 3, 20])
    @pytest.mark.parametrize("size", [1, 3, 10])
    def test_every_chunk_is_processed_once(self, jobs, size):
        progress = run(lambda ids: ids, jobs=jobs, size=size)

        assert sorted(progress.worked) == IDS
        assert sum(progress.counts) == 10
        assert progress.busy == []

    def test_no_chunks_call_no_callback(self):
        progress = Progress()

        process_in_chunks(iter([]), lambda ids: ids, progress, jobs=2)

        assert progress.counts == []

    def test_as_many_chunks_run_at_once_as_there_are_jobs(self):
        both = threading.Barrier(2)

        def work(ids):
            both.wait(timeout=30)
            return ids

        run(work, jobs=2, size=1)

        assert not both.broken

    def test_the_iterator_of_chunks_is_used_by_one_thread_at_a_time(self):
        def chunks_with_delay():
            for key in IDS:
                time.sleep(0.01)
                yield [key]

        progress = Progress()
        process_in_chunks(chunks_with_delay(), lambda ids: ids, progress, jobs=3)

        assert sorted(progress.worked) == IDS

    def test_each_job_has_a_connection_that_is_closed_at_the_end(self):
        both, used = threading.Barrier(2), []

        def work(ids):
            both.wait(timeout=30)
            connection.ensure_connection()
            used.append(connection.connection)
            return ids

        run(work, size=1)

        assert len(set(used)) == 2
        assert connection.connection not in used
        assert all(one.closed for one in used)

    def test_inside_a_transaction_of_the_caller_only_its_thread_works(self):
        threads = set()

        def work(ids):
            threads.add(threading.current_thread())
            return ids

        with transaction.atomic():
            run(work)

        assert threads == {threading.main_thread()}

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_only_the_locked_rows_of_a_chunk_are_reported_as_busy(self, jobs):
        ids = sorted(UserFactory.create().pk for _ in range(9))
        progress = Progress()

        def work(chunk):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                list(User.objects.filter(pk__in=chunk).order_by("pk").select_for_update())
            return chunk

        def hold_locks(taken, done):
            with transaction.atomic():
                list(User.objects.filter(pk__in=[ids[0], ids[4]]).select_for_update())
                taken.set()
                done.wait(30)
            connection.close()

        taken, done = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold_locks, args=[taken, done])
        holder.start()
        assert taken.wait(30)
        try:
            process_in_chunks(cut(ids, 4), work, progress, jobs=jobs)
        finally:
            done.set()
            holder.join()

        assert sorted(progress.busy) == [ids[0], ids[4]]
        assert sorted(progress.worked) == [ids[at] for at in (1, 2, 3, 5, 6, 7, 8)]
        assert sum(progress.counts) == 9

    def test_an_error_of_one_job_is_raised_after_the_chunks_of_the_others_are_reported(self):
        under_way, failed = threading.Event(), threading.Event()

        def work(ids):
            if ids == IDS[:2]:
                assert under_way.wait(30)
                failed.set()
                raise ValueError(ids)
            under_way.set()
            assert failed.wait(30)
            return ids

        progress = Progress()
        with pytest.raises(ValueError, match="00000001"):
            run(work, progress=progress)

        # The other job may have taken one more chunk, but not the rest.
        assert progress.worked[:2] == IDS[2:4]
        assert len(progress.worked) <= 4

    def test_an_interrupt_is_raised_after_every_processed_chunk_is_reported(self):
        worked: list[UUID] = []
        reported: list[UUID] = []

        def work(ids):
            worked.extend(ids)
            return ids

        def on_chunk_done(done):
            reported.extend(done.results[0])
            if len(reported) == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(work, size=1, progress=on_chunk_done)

        assert sorted(reported) == sorted(worked)

    def test_existing_objects_are_frozen_for_the_garbage_collector_during_the_work(self):
        frozen = []

        def work(ids):
            frozen.append(gc.get_freeze_count())
            return ids

        run(work, jobs=1, size=10)

        assert frozen[0] > 1000
        assert gc.get_freeze_count() == 0


class TestChunkSize:
    @pytest.fixture
    def taking(self, monkeypatch):
        """Return a function that measures a chunk of ``count`` items that takes so many seconds."""
        now = 0.0
        monkeypatch.setattr("fluxori.db.chunked_work.monotonic", lambda: now)

        def take(size, count, seconds):
            nonlocal now
            with size.measured(count):
                now += seconds
            return size.current

        return take

    def test_begins_small_and_never_exceeds_the_most(self, taking):
        assert ChunkSize(100).current == 100
        size = ChunkSize(1000)

        assert size.current == 250
        assert [taking(size, size.current, 0.1) for _ in range(2)] == [1000, 1000]

    def test_shrinks_to_what_takes_a_second(self, taking):
        size = ChunkSize(1000)

        assert taking(size, 250, 5) == 50
        assert taking(size, 50, 100) == 1

    def test_does_not_grow_by_a_short_last_chunk(self, taking):
        assert taking(ChunkSize(1000), 3, 0.001) == 250
