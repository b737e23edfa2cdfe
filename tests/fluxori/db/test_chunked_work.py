import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from fluxori.db.chunked_work import Done, process_in_chunks
from fluxori.identity.models import User
from tests.support.factories.identity import UserFactory

IDS = [UUID(int=number) for number in range(1, 11)]


class Told:
    """What was told of the chunks: the ids worked on, those left out, and how many there were in each."""

    def __init__(self) -> None:
        self.worked: list[UUID] = []
        self.busy: list[UUID] = []
        self.counts: list[int] = []

    def __call__(self, done: Done[list[UUID]]) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.worked += [key for part in done.results for key in part]
        self.busy += done.busy
        self.counts.append(done.count)


def cut(ids: list[UUID], size: int) -> Iterator[list[UUID]]:
    return (ids[first : first + size] for first in range(0, len(ids), size))


def go(work: Callable[[list[UUID]], Any], *, jobs: int = 2, size: int = 2, told: Any = None) -> Any:
    tell = told or Told()
    process_in_chunks(cut(IDS, size), work, tell, jobs=jobs)
    return tell


@pytest.mark.django_db(transaction=True)
class TestWorkThrough:
    @pytest.mark.parametrize("jobs", [1, 2, 3, 20])
    @pytest.mark.parametrize("size", [1, 3, 10])
    def test_has_every_chunk_done_once(self, jobs, size):
        told = go(lambda ids: ids, jobs=jobs, size=size)

        assert sorted(told.worked) == IDS
        assert sum(told.counts) == 10
        assert told.busy == []

    def test_is_done_where_there_are_no_chunks(self):
        told = Told()

        process_in_chunks(iter([]), lambda ids: ids, told, jobs=2)

        assert told.counts == []

    def test_has_as_many_under_way_as_there_are_jobs(self):
        both = threading.Barrier(2)

        def work(ids):
            both.wait(timeout=30)
            return ids

        go(work, jobs=2, size=1)

        assert not both.broken

    def test_takes_the_chunks_one_at_a_time(self):
        def slowly():
            for key in IDS:
                time.sleep(0.01)
                yield [key]

        told = Told()
        process_in_chunks(slowly(), lambda ids: ids, told, jobs=3)

        assert sorted(told.worked) == IDS

    def test_gives_each_job_a_connection_and_takes_it_back(self):
        both, used = threading.Barrier(2), []

        def work(ids):
            both.wait(timeout=30)
            connection.ensure_connection()
            used.append(connection.connection)
            return ids

        go(work, size=1)

        assert len(set(used)) == 2
        assert connection.connection not in used
        assert all(one.closed for one in used)

    def test_keeps_to_the_transaction_of_its_caller(self):
        threads = set()

        def work(ids):
            threads.add(threading.current_thread())
            return ids

        with transaction.atomic():
            go(work)

        assert threads == {threading.main_thread()}

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_leaves_out_whom_somebody_keeps_locked_and_nobody_else(self, jobs):
        ids = sorted(UserFactory.create().pk for _ in range(9))
        told = Told()

        def work(chunk):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                list(User.objects.filter(pk__in=chunk).order_by("pk").select_for_update())
            return chunk

        def keep(taken, done):
            with transaction.atomic():
                list(User.objects.filter(pk__in=[ids[0], ids[4]]).select_for_update())
                taken.set()
                done.wait(30)
            connection.close()

        taken, done = threading.Event(), threading.Event()
        somebody = threading.Thread(target=keep, args=[taken, done])
        somebody.start()
        assert taken.wait(30)
        try:
            process_in_chunks(cut(ids, 4), work, told, jobs=jobs)
        finally:
            done.set()
            somebody.join()

        assert sorted(told.busy) == [ids[0], ids[4]]
        assert sorted(told.worked) == [ids[at] for at in (1, 2, 3, 5, 6, 7, 8)]
        assert sum(told.counts) == 9

    def test_ends_with_the_fault_of_one_and_tells_what_the_other_has_done(self):
        under_way, failed = threading.Event(), threading.Event()

        def work(ids):
            if ids == IDS[:2]:
                assert under_way.wait(30)
                failed.set()
                raise ValueError(ids)
            under_way.set()
            assert failed.wait(30)
            return ids

        told = Told()
        with pytest.raises(ValueError, match="00000001"):
            go(work, told=told)

        # It may have begun one more before it heard of it; it has not gone through the rest.
        assert told.worked[:2] == IDS[2:4]
        assert len(told.worked) <= 4

    def test_tells_all_that_was_done_before_it_lets_itself_be_interrupted(self):
        worked: list[UUID] = []
        told: list[UUID] = []

        def work(ids):
            worked.extend(ids)
            return ids

        def tell(done):
            told.extend(done.results[0])
            if len(told) == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go(work, size=1, told=tell)

        assert sorted(told) == sorted(worked)

    def test_keeps_what_is_there_already_out_of_the_search_for_garbage(self):
        frozen = []

        def work(ids):
            frozen.append(gc.get_freeze_count())
            return ids

        go(work, jobs=1, size=10)

        assert frozen[0] > 1000
        assert gc.get_freeze_count() == 0
