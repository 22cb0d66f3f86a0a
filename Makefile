# Everything a target needs, it installs into .venv by itself. `make` alone lists the targets.

PYTHON ?= python3
EVENT ?= events/dry-run.json
PORT ?= 4566
INVOKE_PORT ?= 9000
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= event manifest policy reference
# No test reaches beyond this machine; `make invoke` reaches the account of the shell's credentials.
export AWS_EC2_METADATA_DISABLED = true

ZIP = target/lambda/ecr-cleanup/bootstrap.zip

STACK ?= ecr-cleanup
FUNCTION ?= ecr-cleanup

CARGO_LAMBDA = PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda

# Nothing of what it does here is told to anyone.
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" target/tools/sam/bin/sam

.DEFAULT_GOAL := help
.PHONY: help demo test prove lint validate test-pages test-release bench build build-stack invoke simulated-aws fuzz clean
.PHONY: deploy deploy-cargo-lambda invoke-remote logs destroy

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Clean a simulated company with the real function: dry, live, and once more.
	@cargo build --quiet --features second-opinions --bin ecr-cleanup --example demo
	@cargo run --quiet --features second-opinions --example demo

test: .venv/tools ## Run all tests, and a share of the proof's cases, chosen by PROOF_SEED=; check templates and policies.
	cargo test --workspace --features second-opinions
	.venv/bin/cfn-lint infra/*.yaml
	.venv/bin/python tests/infra/check.py
	.venv/bin/python tests/models/derive.py --check

prove: ## Run all tests, with every case of the proof: every fault, lack, loss and moment, a thousand moving worlds.
	@PROOF=whole $(MAKE) --no-print-directory test

lint: ## Check formatting, lints and documentation.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features second-opinions -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

validate: target/tools/sam/bin/sam ## Let SAM check the template; it asks no AWS.
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint --template infra/template.yaml

test-pages: .venv/pages ## Try the pages of reports in Chromium, which Debian's chromium and chromium-driver bring; pictures in target/pages.
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { echo "there is no browser here to try them in: apt-get install chromium chromium-driver"; exit 2; }
	@cargo build --quiet --features second-opinions --example demo
	@cargo run --quiet --features second-opinions --example demo -- --pages target/pages
	.venv/bin/python tests/pages/check.py target/pages

test-release: build-stack build .venv/tools target/tools/ministack/bin/ministack ## Run the zip under AWS's own emulator, and deploy, fire and destroy the stack on MiniStack.
	@cargo build --quiet --features second-opinions --example demo
	@test $$(stat -c %s $(ZIP)) -lt 6000000 || { echo "the zip is over 6 MB"; exit 1; }
	.venv/bin/python tests/infra/rie.py $(ZIP) \
	  target/tools/sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64 target/debug/examples/demo
	.venv/bin/python tests/infra/ministack_stack.py $(ZIP) target/tools/sam/bin/sam target/tools/ministack/bin/ministack \
	  target/debug/examples/demo

bench: ## Measure what the function must reach, each number beside its budget; ONLY=growth measures one part.
	cargo bench --no-default-features --bench account -- $(if $(ONLY),--only $(ONLY))
	$(if $(ONLY),,cargo bench --no-default-features --bench planner)

build: .venv/cargo-lambda ## Build target/lambda/ecr-cleanup/bootstrap.zip for Lambda on x86_64; POLICIES=file.json goes into it.
	$(CARGO_LAMBDA) build --release --bin ecr-cleanup --output-format zip $(if $(POLICIES),--include $(POLICIES))
	@ls -l $(ZIP)

# SAM calls cargo lambda, for which it wants the flag, and shares the folder of `make build`: one of them does the work.
build-stack: target/tools/sam/bin/sam .venv/cargo-lambda ## Build the stack into .aws-sam, for SAM to deploy; POLICIES=file.json goes into it.
	$(SAM) build --beta-features --template infra/template.yaml
	$(if $(POLICIES),cp $(POLICIES) .aws-sam/build/Function/)

invoke: .venv/cargo-lambda ## Run the function here on EVENT=events/dry-run.json, in the account of the shell's credentials.
	@test -f "$(EVENT)" || { echo "there is no $(EVENT); try EVENT= one of:" events/*.json events/policies/*.json; exit 2; }
	@if grep -Eq '"dry-?[rR]un": *"?[fF]alse' "$(EVENT)" && [ -z "$$AWS_ENDPOINT_URL" ] && [ "$(LIVE)" != yes ]; then \
	  echo "$(EVENT) deletes images in the account of this shell's credentials; if that is meant, add LIVE=yes"; exit 2; fi
	@echo "invoking with $(EVENT) at $${AWS_ENDPOINT_URL:-AWS}, profile $${AWS_PROFILE:-default}; the first time builds for minutes" >&2
	@cargo build --features second-opinions --bin ecr-cleanup
	@report=$$(mktemp); $(CARGO_LAMBDA) watch --quiet --ignore-changes --features second-opinions \
	    --invoke-address 127.0.0.1 --invoke-port $(INVOKE_PORT) >&2 & \
	  watch=$$!; trap 'kill $$watch; rm -f $$report' EXIT; \
	  until $(PYTHON) -c 'import socket; socket.create_connection(("127.0.0.1", $(INVOKE_PORT)))' 2>/dev/null; do sleep 0.2; done; \
	  unset RUST_LOG; $(CARGO_LAMBDA) invoke --invoke-address 127.0.0.1 --invoke-port $(INVOKE_PORT) --data-file "$(EVENT)" ecr-cleanup \
	    >$$report && $(PYTHON) -m json.tool <$$report

simulated-aws: ## Put the demo's company up on PORT=4566, and print the variables that make tools use it.
	@cargo build --quiet --features second-opinions --example demo
	@cargo run --quiet --features second-opinions --example demo -- --serve $(PORT)

deploy: ## Deploy STACK=ecr-cleanup with SAM. As it comes it deletes nothing.
	@echo "Builds the function and deploys it as the stack $(STACK), with profile $${AWS_PROFILE:-default}."
	@echo "SAM asks for every parameter, and before it changes anything. With DryRun true nothing is ever deleted."
	@$(MAKE) --no-print-directory build-stack
	$(SAM) deploy --guided --confirm-changeset --stack-name $(STACK) --capabilities CAPABILITY_IAM

deploy-cargo-lambda: .venv/cargo-lambda ## Deploy FUNCTION=ecr-cleanup alone with cargo lambda, with the role ROLE_ARN=.
	@test -n "$(ROLE_ARN)" || { echo "ROLE_ARN= is missing: a role with infra/plain/trust-policy.json and policy-dry-run.json"; exit 2; }
	@echo "Builds the function and deploys it as $(FUNCTION), with profile $${AWS_PROFILE:-default} and the role $(ROLE_ARN)."
	@echo "It has no schedule then: infra/plain/schedule.json is one for aws scheduler create-schedule --cli-input-json."
	$(CARGO_LAMBDA) build --release --bin ecr-cleanup --output-format zip $(if $(POLICIES),--include $(POLICIES))
	$(CARGO_LAMBDA) deploy $(FUNCTION) --binary-name ecr-cleanup --role $(ROLE_ARN) --timeout 900 --memory 512

invoke-remote: .venv/cargo-lambda ## Invoke the deployed FUNCTION= with EVENT=events/dry-run.json.
	@test -f "$(EVENT)" || { echo "there is no $(EVENT)"; exit 2; }
	@if grep -Eq '"dry-?[rR]un": *"?[fF]alse' "$(EVENT)" && [ "$(LIVE)" != yes ]; then \
	  echo "$(EVENT) deletes images, if the function's role may; if that is meant, add LIVE=yes"; exit 2; fi
	@echo "invokes $(FUNCTION) with $(EVENT), profile $${AWS_PROFILE:-default}" >&2
	@$(CARGO_LAMBDA) invoke --remote --data-file "$(EVENT)" $(FUNCTION)

logs: target/tools/sam/bin/sam ## Follow the log of the stack STACK=.
	@echo "follows the log of the stack $(STACK), with profile $${AWS_PROFILE:-default}; Ctrl-C ends it" >&2
	@$(SAM) logs --stack-name $(STACK) --tail

destroy: target/tools/sam/bin/sam ## Delete the stack STACK= with its log. It asks first; images stay as they are.
	@echo "Deletes the stack $(STACK), with profile $${AWS_PROFILE:-default}: function, schedule, alarms, role and log."
	$(SAM) delete --stack-name $(STACK)

fuzz: target/tools/bin/cargo-fuzz ## Fuzz every parser of foreign text for FUZZ_SECONDS=60 each. Needs clang's or gcc's C++ compiler.
	@for target in $(FUZZ_TARGETS); do mkdir -p tests/fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $$target \
	    tests/fuzz/corpus/$$target events events/policies tests/real_manifests \
	    -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; done

clean: ## Remove everything that was built or installed.
	rm -rf target .venv .aws-sam

target/tools/sam/bin/sam: tests/requirements-deploy.txt
	@$(PYTHON) -m venv target/tools/sam >&2
	@target/tools/sam/bin/python -m pip install --quiet --requirement tests/requirements-deploy.txt >&2
	@touch $@

target/tools/ministack/bin/ministack: tests/requirements-ministack.txt
	@$(PYTHON) -m venv target/tools/ministack >&2
	@target/tools/ministack/bin/python -m pip install --quiet --requirement tests/requirements-ministack.txt >&2
	@touch $@

target/tools/bin/cargo-fuzz:
	cargo install cargo-fuzz --version 0.13.1 --locked --root target/tools --target-dir target/tools/build

.venv/bin/python:
	@$(PYTHON) -m venv .venv >&2

.venv/tools: tests/requirements.txt | .venv/bin/python
	@.venv/bin/python -m pip install --quiet --requirement tests/requirements.txt >&2
	@touch $@

.venv/pages: tests/requirements-pages.txt | .venv/bin/python
	@.venv/bin/python -m pip install --quiet --requirement tests/requirements-pages.txt >&2
	@touch $@

.venv/cargo-lambda: tests/requirements-build.txt | .venv/bin/python
	@.venv/bin/python -m pip install --quiet --requirement tests/requirements-build.txt >&2
	@touch $@
