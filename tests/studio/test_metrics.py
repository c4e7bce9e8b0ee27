"""Numbers in the form that Prometheus reads."""

from __future__ import annotations

import re
from types import SimpleNamespace

from limner.studio.metrics import Metrics, memory

LINE = re.compile(r'(# (HELP|TYPE) .+|[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? [-+.\de]+)')


class Queue:
    most = 256

    def counts(self):
        return {"queued": 3, "done": 2}


def studio(rows):
    store = SimpleNamespace(read=lambda statement, values: [r for r in rows if r[2] > values[0]])
    return SimpleNamespace(queue=Queue(), store=store, crew=SimpleNamespace(ready=True))


def numbers(text):
    for line in text.splitlines():
        assert LINE.fullmatch(line), line
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    return {name: float(value) for name, value in pairs}


def test_jobs_are_counted_once_into_edges():
    later = 1e12
    rows = [("generate", 0.5, later), ("generate", 3.0, later + 1), ("edit", 5000.0, later + 2)]
    metrics = Metrics()
    metrics.text(studio(rows[:2]))
    told = numbers(metrics.text(studio(rows)))
    assert told['limner_job_seconds_bucket{task="generate",le="0.5"}'] == 1
    assert told['limner_job_seconds_bucket{task="generate",le="2"}'] == 1
    assert told['limner_job_seconds_bucket{task="generate",le="5"}'] == 2
    assert told['limner_job_seconds_count{task="generate"}'] == 2
    assert told['limner_job_seconds_sum{task="generate"}'] == 3.5
    assert told['limner_job_seconds_bucket{task="edit",le="900"}'] == 0
    assert told['limner_job_seconds_bucket{task="edit",le="+Inf"}'] == 1
    assert told["limner_queue_length"] == 3 and told['limner_jobs{state="done"}'] == 2


def test_requests_are_counted_by_route_and_no_address_makes_a_new_one():
    metrics = Metrics()
    metrics.request("GET", "/api/jobs/{id}", 200, 0.01)
    metrics.request("GET", "/api/jobs/{id}", 200, 0.01)
    metrics.request("HACK\n", "other", 404, 0.01)
    told = numbers(metrics.text(studio([])))
    key = 'limner_requests_total{method="GET",route="/api/jobs/{id}",status="200"}'
    assert told[key] == 2
    assert told['limner_requests_total{method="other",route="other",status="404"}'] == 1


def test_memory_is_what_the_system_says():
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 0 < memory() <= most * 1.1
    assert memory(2**31) == 0
