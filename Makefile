# `make demo` and `make test` are all that a fresh machine with Python 3.11 or newer needs.
PYTHON ?= python3
BIN := .venv/bin
DEMO := build/demo

.SECONDARY: # keep trained models
.PHONY: bench build/package cluster demo device figures formats fuzz models photos test test-cluster test-pi throughput lint types \
	clean

# Install the package with the extra that stands for %, from this folder, so that edits count at once.
.venv/installed-%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

demo: .venv/installed-train
	rm -rf $(DEMO)
	$(BIN)/cifar-edge train --data sample --epochs 40 --run $(DEMO)
	$(BIN)/cifar-edge export --quantize $(DEMO)
	$(BIN)/cifar-edge classify --model $(DEMO)/quick-int8.tflite tests/photos
	$(BIN)/cifar-edge bench --data sample $(DEMO)/quick-float32.tflite $(DEMO)/quick-int8.tflite
	@echo 'That was a tenth of the data. Next, all of it, in about ten minutes:'
	@echo '    . .venv/bin/activate'
	@echo '    cifar-edge train'
	@echo '    cifar-edge export --quantize'
	@echo '    cifar-edge classify tests/photos --model quick-int8'

# The README's numbers, on all of CIFAR-10: an hour and a half; interrupted, it goes on where it stopped.
# PEERS may name other people's models, to be compared in the same run.
BENCH := build/bench
RUNS := $(addprefix $(BENCH)/,ann cnn-no-augment cnn cnn-50-epochs resnet8 quick)
$(BENCH)/cnn-no-augment/model.keras: OPTIONS := --model cnn --augment none
$(BENCH)/cnn-50-epochs/model.keras: OPTIONS := --model cnn --epochs 50

$(BENCH)/%/model.keras: | .venv/installed-train
	$(BIN)/cifar-edge train $(or $(OPTIONS),--model $*) --run $(@D) $(if $(wildcard $(@D)/run.json),--resume)

$(BENCH)/%/exported: $(BENCH)/%/model.keras
	$(BIN)/cifar-edge export --quantize $(@D)
	touch $@

# Tables on the screen; every figure, the computer's description and the pictures in benchmarks/results.
bench: $(addsuffix /exported,$(RUNS)) .venv/installed-all
	mkdir -p benchmarks/results
	$(BIN)/cifar-edge bench --noise --runtime --profile --output benchmarks/results/bench.json \
		--plot benchmarks/results nano small $(addsuffix /*-int8.tflite,$(RUNS)) nano-float32 $(PEERS)

# The models that ship, made again from the data alone: most of a day. What `small` learns from is a `first` one without
# a teacher, and `nano` learns from the `small` just made.
models: .venv/installed-train
	for name in first small nano; do \
		case $$name in first) set -- --model small --teacher '';; *) set -- --model $$name;; esac; \
		run=build/models/$$name; \
		test -e $$run/model.keras || $(BIN)/cifar-edge train "$$@" --run $$run $$(test -e $$run/run.json && echo --resume); \
		ls $$run/*-int8.tflite > /dev/null 2>&1 || $(BIN)/cifar-edge export --quantize --licence MIT $$run || exit 1; \
		cp $$run/*.tflite cifar_edge/models || exit 1; \
	done
	$(MAKE) figures

# What `cifar-edge models` and the models' own page say of them.
figures: .venv/installed-all
	$(BIN)/cifar-edge bench --noise --output cifar_edge/models/bench.json nano small $(PEERS)
	$(BIN)/python -m cifar_edge.benchmarks.studies.outliers nano small

# The tables of export/README.md, as they stand there.
FORMATS := $(addprefix $(BENCH)/,ann cnn resnet8)
formats: $(addsuffix /model.keras,$(FORMATS))
	for run in $(FORMATS); do $(BIN)/cifar-edge export --formats float32,float16,dynamic,int8,int16x8 $$run; done
	$(BIN)/python -m cifar_edge.benchmarks.studies.formats $(FORMATS)

# The tables of benchmarks/README.md on photos: what the network sees of them, and how many a second.
photos: .venv/installed-all
	$(BIN)/python -m cifar_edge.benchmarks.studies.photos tests/photos nano-float32 nano small-float32 small

throughput: $(BENCH)/quick/exported .venv/installed-dev
	$(BIN)/python -m cifar_edge.benchmarks.studies.throughput $(BENCH)/quick/quick-int8.tflite

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10

# 20,000 photos in a bucket, of a cluster's nodes one is killed (`make test` does it with a few); deadly photos; a node
# with another kind of processor, emulated by qemu-user-static.
test-cluster: .venv/installed-dev
	CLUSTER_PHOTOS=20000 $(BIN)/python -m pytest tests/classify/cluster/test_run.py tests/deadly/photos.py tests/arm64/mixed.py

# Two nodes of one processor each on this machine, to try `--cluster`. Ray listens on all interfaces, even if told an
# address of this machine alone; so whoever connects needs the token in this user's ~/.ray, which `cifar-edge` finds.
NODE := RAY_AUTH_MODE=token $(BIN)/ray start --num-cpus=1 --object-store-memory=150000000
cluster: .venv/installed-cluster
	test -s ~/.ray/auth_token || (umask 077 && $(BIN)/ray get-auth-token --generate > /dev/null)
	$(NODE) --head --include-dashboard=false
	$(NODE) --address=127.0.0.1:6379
	@echo 'To try it: cifar-edge classify tests/photos --output build/results --cluster'
	@echo 'To stop it: $(BIN)/ray stop'

# The wheel on an emulated arm64 Debian 12 and 13, as on a Raspberry Pi; needs qemu-user-static, and no root.
test-pi: .venv/installed-dev
	$(MAKE) --jobs 2 --output-sync test-pi-bookworm test-pi-trixie

test-pi-%:
	$(BIN)/python -m pytest -rP tests/arm64/proof.py -k $*

# The tables of cifar_edge/README.md on memory and bytes written; needs root, for a limit and a file system.
device: .venv/installed-train
	$(BIN)/python -m cifar_edge.benchmarks.studies.device nano

# A minute of damaged photos and a hundred kills; `make test` has two seconds and fewer.
fuzz: .venv/installed-dev
	FUZZ_SECONDS=60 KILLS=34 $(BIN)/python -m pytest tests/test_fuzz.py tests/test_killed_runs.py

lint: build/package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	cd build/package && PYTHONPATH=. ../../$(BIN)/lint-imports --no-logo ../../pyproject.toml

types: build/package
	cd build/package && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p cifar_edge

# The package as it is installed: tools cannot follow an editable install of packages that live elsewhere in the tree.
build/package: .venv/installed-dev
	rm -rf build/package build/lib # where setuptools keeps files that are gone
	$(BIN)/python -m pip install --quiet --no-deps --target build/package .

clean:
	rm -rf .venv build *.egg-info
