# Every chore of the project. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: $(shell grep -oE '^[a-z-]+:' $(firstword $(MAKEFILE_LIST)) | tr -d :)

# `make test PYTHON=python3.12` takes that one, in an environment of its own; else any of 3.11 to 3.13 that is there.
PYTHON ?=
VENV ?= .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

# One virtual environment; a stamp for each set of extras that was installed into it. Without a GPU, tools/install.py
# takes torch's CPU build; GPU=1 takes what the package index has, with CUDA.
$(BIN)/python:
	@python=$$(sh tools/find_python.sh $(PYTHON)) && echo "$(VENV): $$($$python -V)" && $$python -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing ravine[$*] into $(VENV)"
	@$(BIN)/python tools/install.py $* $(CONSTRAINTS:%=--constraint %)
	@touch $@

install: $(VENV)/.installed-dev  ## make .venv and install what is pinned

demo: $(VENV)/.installed-lab  ## compare nine optimizers on handwritten digits; writes out/demo/report.html
	$(BIN)/ravine compare digits --out out/demo

lint: $(VENV)/.installed-dev  ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev  ## check types
	$(BIN)/mypy

unit: $(VENV)/.installed-dev  ## the tests alone
	@$(BIN)/python tools/axe.py
	$(BIN)/python -m pytest -n 2 --dist worksteal

test: lint types unit  ## lint, types and the whole suite

oldest:  ## the suite with the oldest versions that pyproject.toml allows, in .venv-oldest
	$(MAKE) unit VENV=.venv-oldest CONSTRAINTS=.venv-oldest/constraints.txt

.venv-oldest/constraints.txt: pyproject.toml tools/lower_bounds.py | $(BIN)/python
	$(BIN)/python tools/lower_bounds.py > $@

newest:  ## the suite with the newest versions that there are, in .venv-newest, made anew
	rm -rf .venv-newest
	$(MAKE) unit VENV=.venv-newest CONSTRAINTS=

dist: $(VENV)/.installed-release  ## build dist/, check it, and try the wheel in an empty environment
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/try_wheel.py dist

mutants: $(VENV)/.installed-dev  ## break every rule at every place; each break must be caught
	PYTHONPATH=tests $(BIN)/python tools/mutants.py

gpu-bits: $(VENV)/.installed-dev  ## every rule and storage as PTX, run by a machine in NumPy, against the reference (minutes)
	PYTHONPATH=tests $(BIN)/python tools/gpu_bits.py --out bench/results/gpu_bits.json

gpu-roofline: $(VENV)/.installed-dev  ## assemble every rule for each card and estimate its limits; needs ptxas and nvdisasm
	PYTHONPATH=tests $(BIN)/python bench/gpu_roofline.py --out bench/results/gpu_roofline.json

gpu-day: $(VENV)/.installed-dev  ## on a machine with a GPU: check and measure what only a GPU can show; writes one JSON
	PYTHONPATH=tests $(BIN)/python bench/gpu_day.py --out bench/results/gpu_day.json

fuzz: $(VENV)/.installed-dev  ## 3,000 random training programs with torch's optimizers and ours (minutes)
	MALLOC_PERTURB_=165 RAVINE_FUZZ=3000 $(BIN)/python -m pytest tests/dropin/test_random_programs.py

torch-suite: $(VENV)/.installed-dev  ## torch's own tests of its optimizers, from Debian's source package, with our classes (30 minutes)
	$(BIN)/python tools/torch_suite.py .torch-suite

check-roles: $(VENV)/.installed-dev  ## hold parameters' roles to what timm's and transformers' models do with them; records it (minutes)
	$(BIN)/python -m pip install --quiet --target $(VENV)/timm --no-deps timm torchvision==0.28.0
	PYTHONPATH=$(VENV)/timm $(BIN)/python tools/check_roles.py

bench: $(VENV)/.installed-dev  ## time every optimizer's step against torch's; writes bench/results/here.json
	$(BIN)/ravine bench --out bench/results/here.json

lab-bank: $(VENV)/.installed-dev  ## run an optimizer at every rate with many seeds, for lab-null; records it (minutes)
	$(BIN)/python bench/lab_null.py --bank bench/results/lab_bank.json

lab-null: $(VENV)/.installed-dev  ## equals must not come out different, a planted difference must; records it (minutes)
	$(BIN)/python bench/lab_null.py --out bench/results/lab_null.json

lab-overhead: $(VENV)/.installed-dev  ## what the lab adds to a bare training loop; records it
	$(BIN)/python bench/lab_overhead.py --out bench/results/lab_overhead.json

lab-batched: $(VENV)/.installed-dev  ## runs trained together against one by one: speed, and that losses agree; records it
	$(BIN)/python bench/lab_batched.py --out bench/results/lab_batched.json

claims: $(VENV)/.installed-dev  ## run the comparisons behind docs/claims.md and write their numbers into it
	$(BIN)/python bench/lab_claims.py

storage-evidence: $(VENV)/.installed-lab  ## train with state in 8 bits, bfloat16 and float32, and write docs/storage.md (hours)
	for task in digits 'digits-cnn[width=32]' stdlib-lm; do nice -n 15 $(BIN)/python tools/storage_evidence.py run "$$task" 10 2 || exit 1; done

suite: $(VENV)/.installed-lab  ## compare over all four tasks; writes out/suite/suite.html
	$(BIN)/ravine compare --suite --out out/suite

playground: $(VENV)/.installed-lab  ## write and open the playground
	mkdir -p out
	$(BIN)/ravine playground --out out/playground.html

docs: $(VENV)/.installed-dev  ## rewrite the pages, and the type stub, that are made from the code
	$(BIN)/python tools/make_docs.py
	$(BIN)/python tools/torch_stub.py

site: $(VENV)/.installed-dev $(VENV)/.installed-site  ## build the site, which needs no server: out/site/index.html
	rm -rf out/site out/site-source
	mkdir -p out
	cp -r docs out/site-source
	cp tools/site/* out/site-source
	$(BIN)/sphinx-build -q -W --keep-going -b html out/site-source out/site
	$(BIN)/ravine playground --no-open --out out/site/playground.html
	$(BIN)/python -m ravine.playground.course out/site

gallery: $(VENV)/.installed-dev  ## rewrite the gallery and its pictures
	$(BIN)/python -m ravine.simulate.gallery docs

record-packages: $(VENV)/.installed-dev  ## run optimizers of packages that are not installed here and record what they compute
	$(BIN)/python -m pip install --quiet --target $(VENV)/packages --no-deps timm==1.0.31 pytorch_optimizer==4.1.0 \
	    schedulefree==1.4.1 prodigyopt==1.1.2
	PYTHONPATH=tests:$(VENV)/packages $(BIN)/python tools/record_packages.py

TRACES := .venv-traces

record-traces:  ## run the real TensorFlow, Keras, torch and optax (1.6 GB more) and record what they compute
	test -x $(TRACES)/bin/python || $$(sh tools/find_python.sh $(PYTHON)) -m venv $(TRACES)
	$(TRACES)/bin/python -m pip install --quiet --constraint constraints.txt tensorflow-cpu==2.21.0 torch jax optax transformers
	$(TRACES)/bin/python -m pip install --quiet --no-deps tf_keras
	$(TRACES)/bin/python tools/record_traces.py
	$(TRACES)/bin/python tools/record_schedules.py

check-extremes:  ## what the real frameworks do where squares overflow and variances cancel (after record-traces)
	$(TRACES)/bin/python tools/extremes.py

record-files:  ## let the real frameworks write the files that conversion is tested on (after record-traces)
	grep -v '^h5py=' constraints.txt > $(TRACES)/constraints.txt  # TensorFlow wants an older one
	$(TRACES)/bin/python -m pip install --quiet --constraint $(TRACES)/constraints.txt flax orbax-checkpoint lightning \
	    accelerate transformers zstandard
	$(TRACES)/bin/python -m pip install --quiet --no-deps timm tf_keras  # which bring what does not fit, and is not used
	$(TRACES)/bin/python tools/record_files.py

check-conversion:  ## let the real Keras and TensorFlow go on from converted states (after record-traces)
	$(TRACES)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	$(TRACES)/bin/python tools/check_conversion.py

format: $(VENV)/.installed-dev  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built here
	rm -rf .venv .venv-* .torch-suite out .mypy_cache .pytest_cache .ruff_cache build dist
