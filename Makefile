# Fresh clone to picture: make demo. Fresh clone to tests: make test.
PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
FONT = /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf

.PHONY: setup demo test test-slow lint font browser clean

setup: .venv/installed font browser

.venv/installed: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[dev]'
	touch $@

# The world draws emoji where the font is, shapes alone where it is not; the models need neither.
font:
	@test -f $(FONT) || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq fonts-noto-color-emoji >/dev/null; } || \
	  echo 'fonts-noto-color-emoji is not installed: the world scenes will draw shapes only'

# The studio's page is tested in a browser; without one those tests are skipped and say so.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo 'chromium is not installed: the tests of the studio in a browser will be skipped'

demo: .venv/installed font
	.venv/bin/limner generate "an astronaut riding a horse at sunset" -o astronaut.png

test: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv build *.egg-info
