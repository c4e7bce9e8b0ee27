"""limner's own API: tasks, jobs, events, the gallery, the document that says it all."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import httpx
import pytest

from limner.picture import MADE_BY_MODEL

sys.path.insert(0, str(Path(__file__).parent))
import studio_fake as fake


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with fake.served(tmp_path_factory.mktemp("data")) as (url, studio, desk):
        yield url, studio, desk


@pytest.fixture
def client(house):
    with httpx.Client(base_url=house[0], timeout=10) as client:
        yield client


def done(client, answer):
    """The job of a 202, when it is final."""
    assert answer.status_code == 202, answer.text
    place = answer.headers["location"]
    for _ in range(500):
        job = client.get(place).json()
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.01)
    raise AssertionError("it does not end")


def refused(answer, status, *, param=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert param is None or error["param"] == param
    return error


def ask(client, **said):
    return client.post("/api/tasks/generate", json={"prompt": "a cat"} | said)


def test_every_form_is_listed_with_its_fields(client, house):
    tasks = client.get("/api/tasks").json()["tasks"]
    assert [each["name"] for each in tasks] == list(house[1].forms)
    one = client.get("/api/tasks/inpaint").json()
    assert one["uploads"] == ["picture", "mask"] and "prompt" in one["fields"]["properties"]
    refused(client.get("/api/tasks/rm"), 404)


def test_a_job_from_asking_to_its_pictures(client):
    answer = ask(client, seed=3, count=2)
    assert answer.json()["state"] == "queued"
    job = done(client, answer)
    assert job["state"] == "done" and len(job["pictures"]) == 2 and job["error"] is None
    got = client.get(job["pictures"][0]["url"])
    assert got.headers["content-type"] == "image/png" and MADE_BY_MODEL.encode() in got.content
    assert client.get(job["pictures"][0]["thumbnail"]).headers["content-type"] == "image/webp"
    assert client.get("/api/jobs").json()["jobs"][0]["id"] == job["id"]


def test_a_form_takes_fields_as_text_and_pictures_as_files(client, house):
    said = {"prompt": "12", "steps": "3", "whole": "true", "guidance_interval": "[0, 0.5]"}
    files = {"picture": ("../../x.png", fake.picture()), "mask": fake.picture(mode="L")}
    job = done(client, client.post("/api/tasks/inpaint", data=said, files=files))
    kept = house[1].queue.get(job["id"]).arguments
    assert kept["prompt"] == "12" and kept["steps"] == 3 and kept["whole"] is True
    assert kept["guidance_interval"] == [0, 0.5]
    assert house[1].store.upload(kept["picture"]).is_file()


def test_a_picture_of_the_gallery_is_named_by_its_id(client):
    (first,) = done(client, ask(client))["pictures"]
    said = {"picture": {"picture": first["id"]}, "prompt": "a dog"}
    assert done(client, client.post("/api/tasks/restyle", json=said))["state"] == "done"
    said["picture"] = {"picture": "../../etc/passwd"}
    refused(client.post("/api/tasks/restyle", json=said), 404)


def test_the_same_key_is_the_same_job_and_only_for_its_task(client):
    headers = {"Idempotency-Key": "k"}
    said = {"prompt": "a cat"}
    ids = {client.post("/api/tasks/generate", json=said, headers=headers).json()["id"]
           for _ in range(2)}  # fmt: skip
    assert len(ids) == 1
    files = {"picture": fake.picture()}
    answer = client.post("/api/tasks/upscale", files=files, headers=headers)
    refused(answer, 409)


def events(text):
    """(event, data) of a stream."""
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if lines:
            yield lines["event"], json.loads(lines["data"])


def test_events_tell_progress_with_previews_and_the_job_at_last(client):
    id = ask(client).json()["id"]
    answer = client.get(f"/api/jobs/{id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *steps, (last, job) = events(answer.text)
    assert last == "job" and job["state"] == "done" and len(job["pictures"]) == 1
    assert steps and all(kind == "progress" for kind, _ in steps)
    told = [data["step"] for _, data in steps]
    assert told == sorted(told) and steps[0][1]["preview"] and steps[0][1]["total"] == fake.STEPS
    again = client.get(f"/api/jobs/{id}/events", headers={"last-event-id": "final"})
    assert again.status_code == 204
    assert [kind for kind, _ in events(client.get(f"/api/jobs/{id}/events").text)] == ["job"]
    refused(client.get("/api/jobs/nothing/events"), 404)


def test_cancel_and_retry(client, house):
    house[1].crew.going.clear()
    try:
        first, second = (ask(client).json()["id"] for _ in range(2))
        assert client.get(f"/api/jobs/{second}").json()["place"] >= 1
        assert client.delete(f"/api/jobs/{first}").json()["state"] == "cancelled"
        assert client.post(f"/api/jobs/{second}/cancel").json()["state"] == "cancelled"
        listed = client.get("/api/jobs", params={"state": "cancelled"}).json()["jobs"]
        assert {first, second} <= {job["id"] for job in listed}
        refused(client.get("/api/jobs", params={"state": "asleep"}), 400, param="state")
        assert client.post(f"/api/jobs/{first}/retry").json()["state"] == "queued"
        refused(client.post(f"/api/jobs/{first}/retry"), 400)
    finally:
        house[1].crew.going.set()
    for path in ("/api/jobs/x/cancel", "/api/jobs/x/retry"):
        refused(client.post(path), 404)


def test_the_gallery_lists_marks_collects_and_deletes(client):
    ids = [done(client, ask(client, seed=n))["pictures"][0]["id"] for n in range(2)]
    told = client.post(f"/api/pictures/{ids[0]}/favourite", json={"on": True}).json()
    assert told["favourite"] and told["prompt"] == "a cat" and told["recipe"]["task"] == "generate"
    client.post(f"/api/pictures/{ids[0]}/collections", json={"name": "cats, mine/all"})
    assert client.get("/api/collections").json() == {"collections": {"cats, mine/all": 1}}
    for query in ({"favourite": True}, {"collection": "cats, mine/all"}):
        found = client.get("/api/pictures", params=query).json()["pictures"]
        assert [each["id"] for each in found] == [ids[0]]
    older = client.get("/api/pictures", params={"before": ids[1], "limit": 1}).json()["pictures"]
    assert [each["id"] for each in older] == [ids[0]]
    found = client.get("/api/pictures/search", params={"text": "CAT"}).json()["pictures"]
    assert {*ids} <= {each["id"] for each in found}
    assert client.delete(f"/api/pictures/{ids[0]}").status_code == 204
    for path in ("", "/file", "/thumbnail"):
        refused(client.get(f"/api/pictures/{ids[0]}{path}"), 404)
    refused(client.get("/api/pictures", params={"limit": 0}), 400, param="limit")
    refused(client.get("/api/pictures", params={"since": "nan"}), 400, param="since")


def test_a_picture_goes_out_with_its_recipe_or_without(client):
    (link,) = done(client, ask(client))["pictures"]
    with_it = client.get(link["url"]).content
    without = client.get(link["url"], params={"recipe": False}).content
    assert b"a cat" in with_it and b"a cat" not in without and MADE_BY_MODEL.encode() in without
    jpeg = client.get(link["url"], params={"format": "jpeg"})
    assert jpeg.content[:2] == b"\xff\xd8" and MADE_BY_MODEL.encode() in jpeg.content
    refused(client.get(link["url"], params={"format": "gif"}), 400, param="format")


def test_what_is_brought_in_loses_its_metadata(client):
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0SECRET-PLACE"
    data = fake.picture("JPEG", exif=exif, comment=b"SECRET-WORD", icc_profile=b"SECRET" * 20)
    answer = client.post("/api/pictures", files={"picture": data})
    assert answer.status_code == 201 and answer.json()["origin"] == "imported"
    for query in ({}, {"format": "jpeg"}, {"format": "webp"}, {"recipe": False}):
        assert b"SECRET" not in client.get(answer.json()["url"], params=query).content
    assert b"SECRET" not in client.get(answer.json()["thumbnail"]).content
    refused(client.post("/api/pictures", files={"picture": b"no picture"}), 400)
    refused(client.post("/api/pictures", files={"other": data}), 400)
    refused(client.post("/api/pictures", json={}), 415)


@pytest.mark.parametrize(
    "body, status",
    [(b"", 400), (b"[]", 400), (b"{", 400), (b'{"prompt": "\\ud800"}', 400), (b"\xff", 400),
     (b"[" * 100_000, 400), (b'{"a":' * 30 + b"1" + b"}" * 30, 400), (b"1" * 5000, 400),
     (b'{"prompt": NaN}', 400), (b'{"prompt": "a cat", "seed": 1e999}', 400)],
)  # fmt: skip
def test_bodies_that_are_not_json_objects(client, body, status):
    for path in ("/api/tasks/generate", "/v1/images/generations"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        refused(answer, status)


def test_half_a_character_is_refused_wherever_it_stands(client):
    body = b'{"prompt": "x", "picture": {"picture": "\\ud800"}}'
    answer = client.post(
        "/api/tasks/restyle", content=body, headers={"content-type": "application/json"}
    )
    refused(answer, 400)


def test_wrong_kinds_methods_and_places(client):
    said = {"content": b"prompt=x", "headers": {"content-type": "text/plain"}}
    refused(client.post("/api/tasks/generate", **said), 415)
    answer = client.put("/api/jobs")
    refused(answer, 405)
    assert "GET" in answer.headers["allow"]
    refused(client.get("/api/nothing"), 404)
    refused(client.post("/api/tasks/rm", json={}), 404)
    refused(client.get("/docs"), 404)
    broken = {"content-type": "multipart/form-data"}
    refused(client.post("/api/pictures", content=b"x", headers=broken), 400)


def test_health_readiness_and_numbers(client, house):
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/ready").json() == {"ready": True}
    done(client, ask(client))
    text = client.get("/metrics").text
    assert re.search(r'^limner_jobs\{state="done"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^limner_job_seconds_count\{task="generate"\} [1-9]', text, re.MULTILINE)
    assert 'route="/api/tasks/generate",status="202"' in text
    house[1].crew.ready = False
    try:
        assert refused(client.get("/ready"), 503)["code"] == "not_ready"
    finally:
        house[1].crew.ready = True


def test_a_studio_that_stops_takes_no_job_and_lets_waiting_ones_go(tmp_path):
    with fake.served(tmp_path) as (url, studio, desk), httpx.Client(base_url=url) as client:
        desk.stopping.set()
        refused(client.get("/ready"), 503)
        answer = ask(client)
        refused(answer, 503)
        assert answer.headers["retry-after"]
        desk.stopping.clear()
        studio.crew.going.clear()
        id = ask(client).json()["id"]
        desk.stopping.set()
        desk.stopped.set()
        assert client.get(f"/api/jobs/{id}/events").text == ""
        assert studio.queue.get(id).state == "queued"


def test_a_full_disk_is_507_and_nothing_else(client, house, monkeypatch):
    from limner.studio.store import NoSpace

    def full(*_, **__):
        raise NoSpace

    monkeypatch.setattr(house[1].store, "write_upload", full)
    answer = client.post(
        "/api/tasks/restyle", data={"prompt": "x"}, files={"picture": fake.picture()}
    )
    assert refused(answer, 507)["code"] == "no_space"
    assert ask(client).status_code == 202


def test_what_nobody_expected_tells_nothing(client, house, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("/home/someone/secret.py line 3")

    monkeypatch.setattr(house[1].queue, "list", broken)
    error = refused(client.get("/api/jobs"), 500)
    assert error["code"] == "internal" and "secret" not in error["message"]


def test_the_document_declares_every_route_and_every_refusal(client, house):
    document = client.get("/openapi.json").json()
    told = document["paths"]
    assert {f"/api/tasks/{name}" for name in house[1].forms} <= set(told)
    for path, operations in told.items():
        for operation in operations.values():
            answers = operation["responses"]
            assert "422" not in answers and {"401", "403", "413", "500"} <= set(answers), path
            for status, answer in answers.items():
                if status[0] in "45":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorReply"}
    assert document["components"]["schemas"]["ErrorBody"]
    body = told["/api/tasks/inpaint"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert {"picture", "mask"} <= set(body["multipart/form-data"]["schema"]["required"])
