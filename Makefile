# make setup | demo | demo-train | test | check
# An activated environment that already has Detectron2 is used as it is; otherwise .venv is made.
ifeq ($(shell python3 -c "import detectron2" 2>/dev/null && echo yes),yes)
  PYTHON := python3
  STAMP := .cache/setup-existing
else
  PYTHON := .venv/bin/python
  STAMP := .venv/setup-done
endif

.PHONY: setup demo demo-train test check clean

setup: $(STAMP)

# What the environment lacks is added to it, nothing that is there is replaced.
.cache/setup-existing: setup.py
	$(PYTHON) -m pip install -q -e '.[lite,mocap,datasets,dev]'
	@mkdir -p .cache && touch $@

.venv/setup-done: setup.py requirements.txt tools/install_detectron2.sh
	test -x .venv/bin/python || python3 -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9
	.venv/bin/uv pip install -q --python .venv/bin/python -r requirements.txt
	tools/install_detectron2.sh .venv/bin/python
	.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
	@touch $@

# The small model, from nothing: makes the synthetic data, trains, evaluates, detects. PHOTOS=folder adds your own.
demo-train: setup
	$(PYTHON) tools/quick_start.py $(if $(PHOTOS),--photos $(PHOTOS))

demo: demo-train

test: setup
	$(PYTHON) -m pytest -q tests

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright --pythonpath $(shell command -v $(PYTHON) || echo $(PYTHON)) lcrnet_d2

clean:
	rm -rf output build .cache
