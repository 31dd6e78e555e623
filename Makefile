# Each target makes the environment first, where it is not there yet: Python 3.11 or later is all it needs.
PYTHON ?= python3
# Passed to pip at set-up, for example an index with another build of torch (see README.md).
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALLED := $(VENV)/.installed
KERNEL := ncf/training/kernel
LOCAL_MODE := build/local-mode
# worksteal: each worker has one half of the tests in their order, so that few modules' fixtures are made twice.
# Bytecode is kept, whatever the shell says: each worker imports all tests, and many tests start a Python.
PYTEST := PYTHONDONTWRITEBYTECODE="" $(BIN)/python -m pytest -n 2 --dist worksteal
LIST_EXTRAS := import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies'], sep=',')

# make bench-baselines
DATASETS ?=
# make bench-peer, bench-peer-sasrec
PEER ?=
EPOCHS ?=
SEEDS ?=
# make fuzz-serving
EXAMPLES ?=
# make bench-scale
SCALE ?=
FIT_SECONDS ?=
# make bench-monitor
RECORDS ?=
# make component
NAME ?=
IMAGE ?=
# make run
DATA ?=
ITEMS ?=
PARAMS ?=
OUTPUT ?=
KEEP_ENDPOINT ?=
# make recommend
MODEL ?=
USERS ?=
EXECUTOR ?= process
# make release
PACKAGE ?=
# make monitor
ENDPOINT ?=
INTERACTIONS ?=
# make aws
FOLDER ?=
# make watch
RULES ?=
# make images, push, pipeline
REGISTRY ?=
TAG ?=
PYTHON_IMAGE ?=
TRAIN_BASE ?=
LAUNCHER_EXTRAS ?=
WHEELS ?=
# make scan
FAIL_ON ?=
ACCEPT ?=
# make test, test-images
ARGS ?=

GIVEN := $(foreach given,$(.VARIABLES),$(if $(filter command,$(origin $(given))),$(given)))
ifneq ($(GIVEN),)
# make ignores a variable that nothing uses; used here: by the targets asked for, the set-up and the images
VARIABLES := $(shell sed -n 's/^\([A-Z_]*\) ?=.*/\1/p' $(firstword $(MAKEFILE_LIST)))
USED := $(filter $(VARIABLES),$(shell awk -v goals='images $(MAKECMDGOALS)' 'BEGIN {split(goals, names, " "); \
	for (i in names) wanted[names[i] ":"]} /^[^\t]/ {on = $$1 in wanted || /^[$$]/} on' $(firstword $(MAKEFILE_LIST)) \
	| tr -cs 'A-Z_' '\n' | sort -u))
UNUSED := $(firstword $(filter-out $(USED),$(GIVEN)))
LIKELY := $(filter $(USED),$(shell echo '$(UNUSED)' | tr 'a-z-' 'A-Z_'))
EXPECTED := $(if $(LIKELY),did you mean $(LIKELY)?,expected one of: $(USED)$(if \
	$(filter PARAMS,$(USED)),; parameters of the pipeline are given as PARAMS="epochs=5 model=gmf"))
$(if $(UNUSED),$(error '$(UNUSED)' is not a variable of 'make $(MAKECMDGOALS)'; $(EXPECTED)))
endif
# a value as one word of the shell
quoted = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := help
.PHONY: help setup run release recommend monitor aws watch component pipeline images push scan test test-slow test-images check-local-mode lint bench bench-baselines bench-epoch bench-forecast bench-gpu bench-peer bench-peer-sasrec \
	bench-scale bench-serving bench-multi-model bench-monitor fuzz-serving reproduce clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment .venv from the pinned requirements

$(READY): $(INSTALLED) $(KERNEL)/building.py $(wildcard $(KERNEL)/*.cpp $(KERNEL)/*.h)
	@$(BIN)/python $(KERNEL)/building.py || true # it says what is missing, and torch trains without
	@touch $@

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; some minutes)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, $(PYTHON) is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e ".[$$($(BIN)/python -c "$(LIST_EXTRAS)")]"
	@# the pipeline spec of Kubeflow 1.7, apart from today's: a test parses against it
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/kubeflow-1.7 kfp-pipeline-spec==0.1.14
	@touch $@

run: $(READY) $(if $(filter docker,$(EXECUTOR)),images) ## Run the pipeline on this machine: [DATA=path] [ITEMS=path] [PARAMS="epochs=5 model=gmf"] [OUTPUT=link to make] [KEEP_ENDPOINT=1] [EXECUTOR=docker]
	@$(BIN)/python pipeline.py run --data $(call quoted,$(DATA)) --items $(call quoted,$(ITEMS)) \
		--output $(call quoted,$(or $(OUTPUT),output/run)) --executor $(call quoted,$(EXECUTOR)) --tag $(call quoted,$(TAG)) \
		--params $(call quoted,$(PARAMS)) $(if $(filter-out 0 no false,$(KEEP_ENDPOINT)),--keep-endpoint)

recommend: $(READY) $(if $(filter docker,$(EXECUTOR)),images) ## Recommend to all users here, by the pipeline for it: MODEL=folder [USERS=file of ids] [PARAMS="top_k=20"] [OUTPUT=link to make] [EXECUTOR=docker]
	@$(BIN)/python pipeline.py recommend --model $(call quoted,$(MODEL)) --users $(call quoted,$(USERS)) \
		--output $(call quoted,$(or $(OUTPUT),output/recommend)) --executor $(call quoted,$(EXECUTOR)) \
		--tag $(call quoted,$(TAG)) --params $(call quoted,$(PARAMS))

release: $(READY) ## Release an approved model package on the account of make aws: [PACKAGE=group/version] [PARAMS="..."] [OUTPUT=link to make]
	@$(BIN)/python pipeline.py release --package $(call quoted,$(PACKAGE)) \
		--output $(call quoted,$(or $(OUTPUT),output/release)) --params $(call quoted,$(PARAMS))

monitor: $(READY) ## Tell how an endpoint on the account of make aws does: [ENDPOINT=name] [INTERACTIONS=later ones] [PARAMS="..."] [OUTPUT=link to make]
	@$(BIN)/python pipeline.py monitor --endpoint $(call quoted,$(ENDPOINT)) --interactions $(call quoted,$(INTERACTIONS)) \
		--output $(call quoted,$(or $(OUTPUT),output/monitor)) --params $(call quoted,$(PARAMS))

aws: $(READY) ## Be an AWS account on this machine until Ctrl-C, which runs and commands share: [FOLDER=of its access key]
	@$(BIN)/python pipeline.py aws --folder $(call quoted,$(or $(FOLDER),output/aws))

watch: $(READY) ## Run pipelines here for events of the account of make aws, until Ctrl-C: [RULES=file] [OUTPUT=link to make]
	@$(BIN)/python pipeline.py watch $(if $(RULES),--rules $(call quoted,$(RULES))) \
		--output $(call quoted,$(or $(OUTPUT),output/watch))

pipeline: $(READY) ## Compile all pipelines and their components to YAML: [REGISTRY=...] [TAG=...], which write to build/
	@NCF_REGISTRY="$(REGISTRY)" NCF_TAG="$(or $(TAG),$(if $(REGISTRY),$$($(BIN)/python -m images.build tag)))" \
		$(BIN)/python pipeline.py compile \
		$(if $(REGISTRY)$(TAG),--output build)

component: $(READY) ## Lay out the files of a new component: NAME=popularity_report [IMAGE=own]
	@$(BIN)/python -m components.scaffold "$(NAME)" --image "$(IMAGE)"

images: $(READY) ## Build every image: [TAG=...] [PYTHON_IMAGE=base] [TRAIN_BASE=base of ncf-train] [LAUNCHER_EXTRAS=mlflow] [WHEELS=folder]
	@$(BIN)/python -m images.build build --tag "$(TAG)" --python-image "$(PYTHON_IMAGE)" --train-base "$(TRAIN_BASE)" \
		--launcher-extras "$(LAUNCHER_EXTRAS)" $(if $(WHEELS),--wheels "$(WHEELS)")

push: $(READY) ## Push the images that were built: REGISTRY=... [TAG=...]
	@$(BIN)/python -m images.build push --tag "$(TAG)" --registry "$(REGISTRY)"

scan: $(READY) ## Wait for ECR's scan of the pushed images, and fail on its findings: REGISTRY=... [TAG=...] [FAIL_ON=CRITICAL] [ACCEPT=CVE-...]
	@$(BIN)/python -m images.build scan --tag "$(TAG)" --registry "$(REGISTRY)" --accept "$(ACCEPT)" \
		$(if $(FAIL_ON),--fail-on "$(FAIL_ON)")

test: $(READY) ## Run the tests, in minutes: no Docker, AWS or GPU
	@$(PYTEST) -m "not docker and not gpu and not slow" $(ARGS)

test-slow: $(READY) ## Run the slow tests: whole pipelines, builds, killed processes, the commands of all READMEs
	@$(PYTEST) -m "slow and not docker and not gpu" $(ARGS)

test-images: images ## Test the images, and the pipeline in containers (takes what images takes)
	@NCF_TEST_TAG="$(TAG)" $(BIN)/python -m pytest -m docker tests/images $(ARGS)

check-local-mode: images $(LOCAL_MODE)/bin/.ready ## Train and host with the images by AWS's own local mode: needs docker compose, installs the sagemaker SDK (1 GB)
	@docker compose version >/dev/null || { echo "docker compose (v2) is needed, which AWS's local mode runs"; exit 2; }
	@$(BIN)/python -m tests.images.small_data $(LOCAL_MODE)/data
	@$(BIN)/python -m tests.images.check_notebook $(LOCAL_MODE)/data $(LOCAL_MODE)/bin/python
	@$(LOCAL_MODE)/bin/python tests/images/check_local_mode.py $(LOCAL_MODE)/data "$$(test -n "$(TAG)" && echo "$(TAG)" || $(BIN)/python -m images.build tag)"

$(LOCAL_MODE)/bin/.ready:
	@$(PYTHON) -m venv $(LOCAL_MODE)
	@$(LOCAL_MODE)/bin/pip install --quiet --disable-pip-version-check sagemaker==3.27.0
	@touch $@

lint: $(READY) ## Check style, types, import rules and spelling
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell README.md BENCHMARKS.md ncf components pipeline.py images tests .github

bench: $(READY) ## Measure speed: prints tables with ratios (minutes)
	@$(BIN)/python -m tests.benchmarks

bench-serving: $(READY) ## Load the endpoint at constant rates, beside the same model in plain torch (2 cores, 2 minutes)
	@$(BIN)/python -m tests.benchmarks serving

bench-multi-model: $(READY) ## Load a hundred models into one server: memory, and latency beside a single model (2 cores, 2 minutes)
	@$(BIN)/python -m tests.benchmarks multi_model

bench-monitor: $(READY) ## Measure time and memory of monitoring captured requests: [RECORDS=100000,1000000]
	@RECORDS="$(RECORDS)" $(BIN)/python -m tests.benchmarks monitor

fuzz-serving: $(READY) ## Let schemathesis make requests of a real `ncf serve` (some minutes): [EXAMPLES=5000]
	@EXAMPLES="$(EXAMPLES)" $(BIN)/python -m tests.serving.fuzz

reproduce: $(READY) ## Print the accuracy table: DATA=folder with an NCF release [SEEDS=5]
	@DATA="$(DATA)" SEEDS="$(SEEDS)" $(BIN)/python -m tests.benchmarks reproduce

bench-epoch: $(READY) ## Time an epoch of history, GMF and NeuMF by torch and by the compiled step: DATA=interactions or a release
	@DATA="$(DATA)" $(BIN)/python -m tests.benchmarks epoch

bench-forecast: $(READY) ## Measure what ncf doctor forecasts, and write its coefficients (20 minutes): DATA=folder with ml-latest-small and games
	@DATA="$(DATA)" $(BIN)/python -m tests.benchmarks forecast

bench-gpu: $(READY) ## Measure training on this machine's GPU: [DATA=folder of the release's ml-1m]
	@DATA="$(DATA)" $(BIN)/python -m tests.benchmarks gpu

bench-baselines: $(READY) ## Print the accuracy of the baselines and of implicit ALS: [DATA=folder of data sets] [DATASETS=games,ml-1m]
	@DATA="$(DATA)" DATASETS="$(DATASETS)" $(BIN)/python -m tests.benchmarks baselines

bench-peer: $(READY) ## Measure against guoyang9/NCF, run beside it: PEER=its checkout DATA=folder of the release's ml-1m [EPOCHS=1]
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt pandas # of the peer's
	@PEER="$(PEER)" DATA="$(DATA)" EPOCHS="$(EPOCHS)" $(BIN)/python -m tests.benchmarks peer

bench-peer-sasrec: $(READY) ## Measure against pmixer/SASRec.pytorch, run beside it: PEER=its checkout DATA=interactions with times [EPOCHS=4]
	@PEER="$(PEER)" DATA="$(DATA)" EPOCHS="$(EPOCHS)" $(BIN)/python -m tests.benchmarks peer_sasrec

bench-scale: $(READY) ## Measure how each stage grows with the data: [SCALE=1,5,20,100 million interactions] [FIT_SECONDS=600]
	@SCALE="$(SCALE)" FIT_SECONDS="$(FIT_SECONDS)" $(BIN)/python -m tests.benchmarks scale

clean: ## Remove what make and the runs have made
	rm -rf $(VENV) build output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
