# The ordinary tests are `go test ./...`. These are the long forms and helpers.

FUZZTIME ?= 1m
CRASH_KILLS ?= 200
CRASH_EVENTS ?= 200000

.PHONY: all test race lint fuzz crash long bench quality demo build

all: lint test

build:
	CGO_ENABLED=0 go build -trimpath -o portcullis ./cmd/portcullis

test:
	go test ./...

race:
	go test -race ./...

lint:
	gofmt -l $$(git ls-files '*.go')
	go vet ./...
	go tool staticcheck ./...

# Every fuzz target, one after the other, FUZZTIME each. A worker that the end of
# its time meets in the middle fails with "context deadline exceeded" and nothing
# else, now and then: that target runs once more.
fuzz:
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			run="go test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg"; \
			if ! out=$$($$run 2>&1); then \
				case "$$out" in *"Failing input"*) echo "$$out"; exit 1;; *"context deadline exceeded"*) out=$$($$run 2>&1) || { echo "$$out"; exit 1; };; *) echo "$$out"; exit 1;; esac; \
			fi; \
			echo "$$out" | tail -n 1; \
		done; \
	done

# The daemon killed CRASH_KILLS times while CRASH_EVENTS events come in by poll and webhook.
crash:
	PORTCULLIS_CRASH_KILLS=$(CRASH_KILLS) PORTCULLIS_CRASH_EVENTS=$(CRASH_EVENTS) \
		go test -count 1 -timeout 30m -v -run '^TestADaemonKilledAtAnyInstant' ./cmd/portcullis

# The tests that run for minutes: a million events in a second, a year of events, 150,000 histories of a field.
long:
	PORTCULLIS_LONG=1 go test -count 1 -timeout 30m ./detections/... ./responders/hold

bench:
	go run ./bench

# The shipped rules and policies on labelled traffic. Fails if a response would touch a bystander.
quality:
	go run ./bench/quality --write docs/detection-quality.md

demo:
	go run ./cmd/portcullis demo
