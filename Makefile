# make setup | demo | demo-train | test | bench | lint | check | coverage | mutants
# An activated environment that already has Detectron2 is used as it is; otherwise .venv is made.
ENVIRONMENT := $(shell python3 -c "import sys, detectron2; print(sys.prefix)" 2>/dev/null)
ifneq ($(filter-out $(CURDIR)/.venv,$(ENVIRONMENT)),)
  PYTHON := python3
  STAMP := .cache/setup$(subst /,-,$(ENVIRONMENT))
else
  PYTHON := .venv/bin/python
  STAMP := .venv/setup-done
endif

.PHONY: setup demo demo-train test bench lint check coverage mutants clean

setup: $(STAMP)

# What the environment lacks is added to it, nothing that is there is replaced.
.cache/setup%: setup.py requirements.txt
	@mkdir -p .cache
	$(PYTHON) -m pip freeze --exclude-editable > .cache/present.txt
	$(PYTHON) tools/missing_requirements.py > .cache/missing.txt
	$(PYTHON) -m pip install -q -c .cache/present.txt -r .cache/missing.txt
	$(PYTHON) -m pip install -q --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

.venv/setup-done: setup.py requirements.txt tools/install_detectron2.sh
	test -x .venv/bin/python || python3 -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9
	.venv/bin/uv pip install -q --python .venv/bin/python -r requirements.txt
	tools/install_detectron2.sh .venv/bin/python
	.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

# The small model, from nothing: makes the synthetic data, trains, evaluates, detects. PHOTOS=folder adds your own.
demo-train: setup
	$(PYTHON) tools/quick_start.py $(if $(PHOTOS),--photos $(PHOTOS))

# People in photos, by the trained weights that come with the package. PHOTOS=folder for your own instead of the samples.
SAMPLES = docs/samples $(shell $(PYTHON) -c "import matplotlib; print(matplotlib.get_data_path())")/sample_data/grace_hopper.jpg

demo: setup
	$(PYTHON) tools/demo.py --config-file lcrnet_movenet_free --input $(or $(PHOTOS),$(SAMPLES)) --output output/photos --html

# Of the package, the projects and dev/; what needs a package that is not installed is skipped.
test: setup
	$(PYTHON) -m pytest -q

# How fast everything is, one thread: docs/notes/benchmarks.md and output/bench.json. BENCH="--only ppi decode" for a part.
bench: setup
	$(PYTHON) dev/bench.py $(BENCH)

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

# pyright fetches itself from the npm registry when first used.
check: lint
	$(PYTHON) -m pyright --pythonpath $(shell command -v $(PYTHON) || echo $(PYTHON))

# Lines of the package that the tests run; the report names those they do not.
coverage: setup
	$(PYTHON) -m pip install -q pytest-cov==7.1.0
	COVERAGE_FILE=.cache/coverage $(PYTHON) -m pytest -q --cov=lcrnet_d2 --cov-report=term-missing:skip-covered

# 300 random changes to the formulas: which do the tests not notice?
mutants: setup
	$(PYTHON) dev/reliability/mutants.py --count 300

clean:
	rm -rf output build .cache
