# Two commands do all the set-up on a machine that has Go: make run, make test.
GO ?= go
KAFKA ?= 127.0.0.1:19092
KAFKA3 ?= 127.0.0.1:19092,127.0.0.1:19192,127.0.0.1:19292
DEMO_SECONDS ?= 0
DEMO_RATE ?= 2000
FUZZ_TIME ?= 20s
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all build run test lint race kafka kafka-down test-kafka bench eval fuzz update clean

all: lint test

build: ## the binary, in bin/
	$(GO) build -o bin/wayward ./cmd/wayward

run: build ## a made-up fleet on the embedded broker; DEMO_SECONDS=20 ends by itself
	./bin/wayward demo --seconds $(DEMO_SECONDS) --rate $(DEMO_RATE)

lint: ## formatting, vet and staticcheck, which Go downloads the first time
	@test -z "$$(gofmt -l .)" || { echo 'not gofmt-ed:'; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

test: ## everything that needs nothing but Go
	$(GO) test -count=1 -timeout 10m ./...

race: ## the same under the race detector
	$(GO) test -count=1 -race -timeout 20m ./...

kafka: ## a real Apache Kafka on loopback (JDK 17 and Maven, no Docker)
	deploy/kafka.sh up

kafka-down:
	deploy/kafka.sh down

test-kafka: kafka ## the integration suite against it, then against three brokers that die; fails if they cannot start
	WAYWARD_KAFKA=$(KAFKA) $(GO) test -count=1 -timeout 15m -run 'Kafka' -v ./pipeline/... ./cmd/wayward
	deploy/kafka.sh down
	mkdir -p .kafka3 && ln -sfn ../.kafka/libs .kafka3/libs
	export WAYWARD_KAFKA_DIR=$(CURDIR)/.kafka3; deploy/kafka.sh up 3 && \
	  WAYWARD_KAFKA3=$(KAFKA3) $(GO) test -count=1 -timeout 20m -run 'KafkaCrashWhileBrokersDie|KafkaChaos' -v ./cmd/wayward; \
	  s=$$?; deploy/kafka.sh down; exit $$s

bench: build ## Go benchmarks, then whole paths
	$(GO) test -run '^$$' -bench . -benchmem ./...
	./bin/wayward bench
	./bin/wayward bench replay --policies configs

eval: build ## how often the statistical detectors are wrong and what they find, seeds 1-5; some 20 minutes on two cores
	./bin/wayward eval

fuzz: ## every fuzz target for FUZZ_TIME
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ_TIME) $$p || exit 1; done; done

update: ## rewrite golden files and generated docs; read the diff as carefully as code
	$(GO) test -count=1 ./event ./sinks ./policy -update
	$(GO) test -count=1 -run 'IsCurrent|Scenario' ./cmd/wayward -update

clean:
	rm -rf bin wayward-state
