"""OpenAI's official client, unchanged, against a server on loopback."""

from __future__ import annotations

import base64
import io
import sys
import threading
import time
from pathlib import Path

import numpy as np
import openai
import pytest
from PIL import Image

from limner.picture import MADE_BY_MODEL

sys.path.insert(0, str(Path(__file__).parent))
import studio_fake as fake


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with fake.served(tmp_path_factory.mktemp("data")) as (url, studio, desk):
        yield url, studio, desk


@pytest.fixture
def client(house):
    return openai.OpenAI(base_url=house[0] + "/v1", api_key="any", max_retries=0)


def opened(data):
    return Image.open(io.BytesIO(data))


def test_models_are_listed_and_found(client):
    names = [model.id for model in client.models.list()]
    assert "embedded" in names
    assert client.models.retrieve("embedded").owned_by == "limner"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-image-1")


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_pictures_come_in_base64_of_the_size_and_format_that_is_asked_and_marked(client, kind):
    answer = client.images.generate(
        prompt="a cat", n=2, size="40x32", output_format=kind, quality="high", user="me"
    )
    assert len(answer.data) == 2 and answer.size == "40x32" and answer.created > 1e9
    files = [base64.b64decode(each.b64_json) for each in answer.data]
    for data in files:
        assert opened(data).size == (40, 32) and opened(data).format == kind.upper()
        assert MADE_BY_MODEL.encode() in data
    assert files[0] != files[1]


def test_addresses_lead_to_the_pictures(client):
    import httpx

    answer = client.images.generate(prompt="a cat", response_format="url", output_format="webp")
    got = httpx.get(answer.data[0].url)
    assert got.status_code == 200 and got.headers["content-type"] == "image/webp"
    assert opened(got.content).format == "WEBP" and MADE_BY_MODEL.encode() in got.content


def test_limner_s_own_fields_go_through_extra_body(client, house):
    answer = client.images.generate(prompt="a cat", extra_body={"seed": 5, "steps": 3})
    job = house[1].queue.get(answer.job)
    assert job.arguments == {"prompt": "a cat", "seed": 5, "steps": 3}


def test_a_stream_has_partial_pictures_and_then_the_whole(client):
    with client.images.generate(prompt="a cat", stream=True, partial_images=2) as stream:
        events = list(stream)
    kinds = [event.type.removeprefix("image_generation.") for event in events]
    assert kinds[-1] == "completed" and set(kinds[:-1]) == {"partial_image"}
    assert 1 <= len(kinds) - 1 <= 2
    assert [event.partial_image_index for event in events[:-1]] == list(range(len(events) - 1))
    for event in events:
        data = base64.b64decode(event.b64_json)
        assert opened(data).format == "PNG" and MADE_BY_MODEL.encode() in data
    assert events[-1].usage.total_tokens == 0


def test_an_edit_with_a_mask_is_inpainting_where_the_mask_is_transparent(client, house):
    rows = np.full((24, 32, 4), 255, np.uint8)
    rows[:, :16, 3] = 0
    out = io.BytesIO()
    Image.fromarray(rows).save(out, "PNG")
    answer = client.images.edit(
        image=fake.picture(), mask=("mask.png", out.getvalue()), prompt="a dog", n=1
    )
    job = house[1].queue.get(answer.job)
    assert job.task == "inpaint" and len(answer.data) == 1
    mask = np.asarray(Image.open(house[1].store.upload(job.arguments["mask"])))
    assert mask[:, :16].min() == 255 and mask[:, 16:].max() == 0


def test_an_edit_without_a_mask_repaints_what_is_transparent_or_all(client, house):
    clear = client.images.edit(image=[fake.picture(mode="RGBA")], prompt="a dog")
    whole = client.images.edit(image=fake.picture(), prompt="a dog", size="64x48")
    assert house[1].queue.get(clear.job).task == "inpaint"
    assert house[1].queue.get(whole.job).task == "restyle"
    assert opened(base64.b64decode(whole.data[0].b64_json)).size == (64, 48)


def test_an_edit_streams_too(client):
    with client.images.edit(
        image=fake.picture(), prompt="a dog", stream=True, partial_images=1
    ) as stream:
        assert [event.type for event in stream][-1] == "image_edit.completed"


def test_variations(client, house):
    answer = client.images.create_variation(image=fake.picture(), n=2, response_format="b64_json")
    assert len(answer.data) == 2
    assert house[1].queue.get(answer.job).task == "vary"


@pytest.mark.parametrize(
    "said, param",
    [
        ({"n": 11}, "n"),
        ({"size": "9999x9999"}, "size"),
        ({"background": "transparent"}, "background"),
        ({"extra_body": {"film": "/tmp/x.gif"}}, "film"),
    ],
)
def test_what_cannot_be_is_a_bad_request_that_names_its_field(client, said, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a cat", **said)
    assert caught.value.body["param"] == param and caught.value.body["code"] == "bad_input"
    assert caught.value.type == "invalid_request_error"


def test_a_broken_picture_and_a_missing_one_are_bad_requests(client):
    with pytest.raises(openai.BadRequestError, match="no PNG, JPEG or WebP"):
        client.images.edit(image=b"not a picture", prompt="a dog")
    with pytest.raises(openai.BadRequestError, match="names a file"):
        client.images.generate(prompt="a cat | photo.png")


def test_a_failed_job_says_why_whole_or_streamed(client, house):
    house[1].crew.fails = ("bad_input", "the mask '/data/uploads/x.png' is of another size")
    try:
        with pytest.raises(openai.BadRequestError, match=r"mask 'x\.png' is of another size"):
            client.images.generate(prompt="a cat")
        with (
            pytest.raises(openai.APIError, match="of another size"),
            client.images.generate(prompt="a cat", stream=True) as stream,
        ):
            list(stream)
        house[1].crew.fails = ("internal", "")
        with pytest.raises(openai.InternalServerError):
            client.images.generate(prompt="a cat")
    finally:
        house[1].crew.fails = None


def test_a_full_queue_is_a_rate_limit_with_a_time_to_come_back(tmp_path):
    with fake.served(tmp_path, most=2) as (url, studio, _):
        studio.crew.going.clear()
        for _ in range(2):
            studio.submit("generate", {"prompt": "a cat"})
        client = openai.OpenAI(base_url=url + "/v1", api_key="any", max_retries=0)
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(prompt="a cat")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.code == "queue_full"


def test_the_token_is_the_api_key_and_addresses_are_signed(tmp_path):
    import httpx

    with fake.served(tmp_path, token="secret-token") as (url, _, _):
        for key in ("wrong-token", "secret-tokem", "ä"):
            with pytest.raises((openai.AuthenticationError, UnicodeEncodeError)):
                openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0).models.list()
        client = openai.OpenAI(base_url=url + "/v1", api_key="secret-token", max_retries=0)
        answer = client.images.generate(prompt="a cat", response_format="url")
        address = answer.data[0].url
        assert httpx.get(address).status_code == 200
        assert httpx.get(address.partition("?")[0]).status_code == 401
        assert httpx.get(address[:-1] + "0x"[address[-1] == "0"]).status_code == 401
        assert httpx.post(address).status_code == 401


def leave(url, said):
    """Asks with a client that goes away after a moment."""
    client = openai.OpenAI(base_url=url + "/v1", api_key="any", max_retries=0, timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        answer = client.images.generate(prompt="a cat", **said)
        list(answer)


@pytest.mark.parametrize("said", [{}, {"stream": True}])
def test_who_leaves_cancels_the_job(tmp_path, said):
    with fake.served(tmp_path) as (url, studio, _):
        studio.crew.going.clear()
        leave(url, said)
        until(lambda: studio.queue.counts()["cancelled"] == 1)


def test_who_leaves_does_not_cancel_what_another_waits_for(tmp_path):
    with fake.served(tmp_path) as (url, studio, _):
        studio.crew.going.clear()
        headers = {"extra_headers": {"Idempotency-Key": "the same"}}
        got = []
        client = openai.OpenAI(base_url=url + "/v1", api_key="any", max_retries=0)
        other = threading.Thread(
            target=lambda: got.append(client.images.generate(prompt="a cat", **headers))
        )
        other.start()
        until(lambda: studio.queue.counts()["queued"] == 1)
        leave(url, headers)
        time.sleep(0.2)
        studio.crew.going.set()
        other.join(10)
        assert len(got[0].data) == 1
        assert studio.queue.counts() | {"done": 1} == studio.queue.counts()


def until(true, within=5.0):
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
