# `make demo` and `make test` set everything up that they need. See README.md.
PYTHON ?= python3
ARGS ?=
# Most of the tests' time is waiting for sound in real time, so more of them run at once than there are cores.
WORKERS ?= 3
export PYTHON

.PHONY: demo test test-quick faults power-cuts bad-network gateway-faults fleet race receivers firmware fuzz panel-endurance microphone-endurance spool-damage offline-endurance agent-soak systemd-container demonstration-model lint format bench lock clean

demo: ## one press becomes a verified webhook (ARGS=--interactive keeps everything up)
	@scripts/prepare demo
	@.venv/bin/python -m demo $(ARGS)

test: ## all tests, with real broker, recogniser, microphone plugin and Node.js receiver
	@scripts/prepare test
	@.venv/bin/pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

test-quick: ## the tests that start no server: under a minute
	@scripts/prepare test
	@.venv/bin/pytest -q -n $(WORKERS) -m "not servers" $(ARGS)

faults: ## the whole matrix: agent, gateway and broker killed 20 times each in a store, and a fast agent 100 times
	@scripts/prepare test
	@VOISEBACK_KILLS=20 VOISEBACK_FAST_KILLS=100 .venv/bin/pytest -q tests/faults --timeout=3600 $(ARGS)

power-cuts: ## the power of a kiosk cut 200 times, and 20 times that of a whole store's; needs root
	@scripts/prepare test
	@VOISEBACK_CUTS=200 VOISEBACK_STORE_CUTS=20 .venv/bin/pytest -q tests/faults/test_power_cuts.py $(ARGS)

bad-network: ## 100 changes of a network that delays, trickles, cuts off, refuses and swallows
	@scripts/prepare test
	@VOISEBACK_WEATHERS=100 .venv/bin/pytest -q tests/faults/test_network.py $(ARGS)

race: ## two processes that race for 100,000 deliveries: none claims what the other has
	@scripts/prepare test
	@VOISEBACK_RACES=100000 .venv/bin/pytest -q tests/gateway/test_gateway_deliver_faults.py $(ARGS)

gateway-faults: ## the gateway killed at every named point between the broker and the outbox, on SQLite and PostgreSQL
	@scripts/prepare test
	@VOISEBACK_FAULT_POINTS=all .venv/bin/pytest -q tests/gateway/test_gateway_faults.py $(ARGS)

receivers: ## 3,000 random bodies to each kind of receiver: Express 4 and 5, Stripe's library, Python
	@scripts/prepare test
	@VOISEBACK_RECEIVER_BODIES=3000 .venv/bin/pytest -q tests/contract/test_node_receiver.py --timeout=1800 $(ARGS)

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

offline-endurance: ## 10,000 records of thirty days offline, drained over TLS in order and in flat memory
	@scripts/prepare test
	@VOISEBACK_OFFLINE_RECORDS=10000 .venv/bin/pytest -q -s tests/device/test_uplink_drain.py $(ARGS)

systemd-container: ## both units under a real systemd in a container: watchdog, kills, sandbox, a visit; as root
	@scripts/prepare container
	@scripts/prepare test
	@.venv/bin/pytest -q tests/systemd/in_container.py --timeout=1800 $(ARGS)

agent-soak: ## a simulated day of fifty visits an hour through the agent, which must not grow
	@scripts/prepare test
	@.venv/bin/python -m benchmarks.agent_soak $(ARGS)

spool-damage: ## a spool damaged in 2,000 random ways, and its write-ahead log in as many
	@scripts/prepare test
	@VOISEBACK_DAMAGES=2000 .venv/bin/pytest -q tests/device/test_spool_salvage.py --timeout=3600 $(ARGS)

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
	@for one in transcription ear thanks first_sound speech_activity ingest store delivery claims uplink_drain panel panel_replug agent_rest; do .venv/bin/python -m benchmarks.$$one || exit 1; done

lock: ## the locked requirements anew, from pyproject.toml
	@scripts/lock

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info tests/webhook_receiver/node_modules
