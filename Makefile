# `make demo` and `make test` set everything up that they need. See README.md.
PYTHON ?= python3
ARGS ?=
export PYTHON

.PHONY: demo test test-quick faults gateway-faults fleet firmware fuzz panel-endurance microphone-endurance demonstration-model lint format bench lock clean

demo: ## one press becomes a verified webhook (ARGS=--interactive keeps everything up)
	@scripts/prepare demo
	@.venv/bin/python -m demo $(ARGS)

test: ## all tests, with real broker, recogniser, microphone plugin and Node.js receiver
	@scripts/prepare test
	@.venv/bin/pytest -q $(ARGS)

test-quick: ## the tests that start no server: under a minute
	@scripts/prepare test
	@.venv/bin/pytest -q -m "not servers" $(ARGS)

faults: ## the whole matrix: agent, gateway and broker killed 20 times each
	@scripts/prepare test
	@VOISEBACK_KILLS=20 .venv/bin/pytest -q tests/faults --timeout=3600 $(ARGS)

gateway-faults: ## the gateway killed at every named point between the broker and the outbox, on SQLite and PostgreSQL
	@scripts/prepare test
	@VOISEBACK_FAULT_POINTS=all .venv/bin/pytest -q tests/gateway/test_gateway_faults.py $(ARGS)

fleet: ## the broker restarted under 500 connected kiosks, and a gateway that is away for an hour of a simulated clock
	@scripts/prepare test
	@VOISEBACK_KIOSKS=500 .venv/bin/pytest -q tests/gateway/test_gateway_fleet.py $(ARGS)

firmware: ## the panel's firmware, for the chip and for this machine; prints flash and RAM
	@scripts/prepare firmware
	@$(MAKE) --no-print-directory -C firmware_bridge/firmware all

fuzz: ## a million random and damaged frames, through the firmware's core and through the bridge
	@scripts/prepare test
	@$(MAKE) --no-print-directory -C firmware_bridge/firmware fuzz FRAMES=1000000
	@.venv/bin/python -m benchmarks.panel_fuzz 1000000 1

panel-endurance: ## each kind of panel unplugged 100 times under presses, and pressed 20 times a second for 10 minutes
	@scripts/prepare test
	@VOISEBACK_REPLUGS=100 VOISEBACK_SOAK_S=600 .venv/bin/pytest -q tests/firmware_bridge/test_firmware_endurance.py $(ARGS)

microphone-endurance: ## every fault of a microphone, at rest and in a visit, and 50 faults with one ear
	@scripts/prepare test
	@VOISEBACK_MIC_CYCLES=50 .venv/bin/pytest -q tests/audio/test_audio_faults.py --timeout=3600 $(ARGS)

demonstration-model: ## the demonstration model anew, from text to word error rates; an hour and a half on two cores
	@scripts/prepare model
	@build/demo_model/venv/bin/python -m audio.demo_model all
	@# Apart, because Vosk and pynini hang in one process.
	@build/demo_model/venv/bin/python -m pytest -q -c /dev/null --rootdir . tests/audio/demo_model/test_demo_graph.py
	@build/demo_model/venv/bin/python -m pytest -q -c /dev/null --rootdir . tests/audio/demo_model \
		--ignore tests/audio/demo_model/test_demo_graph.py

lint: ## style, types, and who may import whom
	@scripts/prepare test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format:
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

bench: ## every benchmark, each as a ratio against a bare loop doing the same work
	@scripts/prepare test
	@for one in transcription thanks first_sound speech_activity ingest store delivery panel panel_replug; do .venv/bin/python -m benchmarks.$$one || exit 1; done

lock: ## the locked requirements anew, from pyproject.toml
	@scripts/lock

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info tests/webhook_receiver/node_modules
