# Each target installs the tools that it needs, into .venv and target. `make` alone lists the targets.

PYTHON ?= python3
EVENT ?= events/dry-run.json
PORT ?= 4566
INVOKE_PORT ?= 9000
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= event manifest policy reference
# Tests connect only to this machine. `make invoke` uses the account of the shell's credentials.
export AWS_EC2_METADATA_DISABLED = true

ZIP = target/lambda/ecr-cleanup/bootstrap.zip

STACK ?= ecr-cleanup
FUNCTION ?= ecr-cleanup

CARGO_LAMBDA = PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda

# Sends no telemetry.
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" target/tools/sam/bin/sam

.DEFAULT_GOAL := help
.PHONY: help demo test prove lint validate test-pages test-release bench build build-stack invoke simulated-aws fuzz clean
.PHONY: deploy deploy-cargo-lambda invoke-remote logs destroy

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show on simulated accounts what ecr-cleanup deletes, keeps and warns about.
	@cargo build --quiet --features second-opinions --bin ecr-cleanup --example demo
	@cargo run --quiet --features second-opinions --example demo

test: .venv/tools ## Run all tests with a sample of the proof's cases (PROOF_SEED= selects them), and check the templates.
	cargo test --workspace --features second-opinions
	.venv/bin/cfn-lint infra/*.yaml
	.venv/bin/python tests/infra/check.py
	.venv/bin/python tests/infra/athena.py target/tmp/athena
	.venv/bin/python tests/models/derive.py --check

prove: ## Run all tests with every case of the proof: every fault, missing permission, lost answer and interruption.
	@PROOF=whole $(MAKE) --no-print-directory test

lint: ## Check plain English, formatting, lints and documentation.
	$(PYTHON) tests/language/check.py --self-test
	$(PYTHON) tests/language/check.py
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features second-opinions -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

validate: target/tools/sam/bin/sam ## Validate the template with SAM. Calls no AWS API.
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint --template infra/template.yaml

test-pages: .venv/pages ## Test the HTML reports in Chromium, and save screenshots in target/pages.
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { echo "can't test the pages: Chromium or its driver is not installed. Run: apt-get install chromium chromium-driver"; exit 2; }
	@cargo build --quiet --features second-opinions --example demo
	@cargo run --quiet --features second-opinions --example demo -- --pages target/pages
	.venv/bin/python tests/pages/check.py target/pages

test-release: build-stack build .venv/tools target/tools/ministack/bin/ministack ## Test the zip in AWS's Lambda emulator, and the stack on MiniStack.
	@cargo build --quiet --features second-opinions --example demo
	@test $$(stat -c %s $(ZIP)) -lt 6000000 || { echo "the zip is too large: $(ZIP) has more than 6 MB. Remove dependencies."; exit 1; }
	.venv/bin/python tests/infra/rie.py $(ZIP) \
	  target/tools/sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64 target/debug/examples/demo
	.venv/bin/python tests/infra/ministack_stack.py $(ZIP) target/tools/sam/bin/sam target/tools/ministack/bin/ministack \
	  target/debug/examples/demo

bench: ## Measure speed and memory against the budgets. ONLY=growth measures one part.
	cargo bench --no-default-features --bench account -- $(if $(ONLY),--only $(ONLY))
	$(if $(ONLY),,cargo bench --no-default-features --bench planner)

build: .venv/cargo-lambda ## Build target/lambda/ecr-cleanup/bootstrap.zip for Lambda on x86_64. POLICIES=file.json adds a file.
	$(CARGO_LAMBDA) build --release --bin ecr-cleanup --output-format zip $(if $(POLICIES),--include $(POLICIES))
	@ls -l $(ZIP)

# SAM calls cargo lambda, which requires the flag. Both targets build in the same folder, so the second build is quick.
build-stack: target/tools/sam/bin/sam .venv/cargo-lambda ## Build the stack for SAM into .aws-sam. POLICIES=file.json adds a file.
	$(SAM) build --beta-features --template infra/template.yaml
	$(if $(POLICIES),cp $(POLICIES) .aws-sam/build/Function/)

invoke: .venv/cargo-lambda ## Run the function on this machine with EVENT=events/dry-run.json and the shell's credentials.
	@test -f "$(EVENT)" || { echo "can't read the event: there is no file $(EVENT). Set EVENT= to one of:" events/*.json events/policies/*.json; exit 2; }
	@if grep -Eq '"dry-?[rR]un": *"?[fF]alse' "$(EVENT)" && [ -z "$$AWS_ENDPOINT_URL" ] && [ "$(LIVE)" != yes ]; then \
	  echo "not invoked: $(EVENT) deletes images in the account of this shell's credentials. To delete them, add LIVE=yes."; exit 2; fi
	@echo "Invokes the function with $(EVENT) at $${AWS_ENDPOINT_URL:-AWS}, profile $${AWS_PROFILE:-default}. The first build takes minutes." >&2
	@cargo build --features second-opinions --bin ecr-cleanup
	@report=$$(mktemp); $(CARGO_LAMBDA) watch --quiet --ignore-changes --features second-opinions \
	    --invoke-address 127.0.0.1 --invoke-port $(INVOKE_PORT) >&2 & \
	  watch=$$!; trap 'kill $$watch; rm -f $$report' EXIT; \
	  until $(PYTHON) -c 'import socket; socket.create_connection(("127.0.0.1", $(INVOKE_PORT)))' 2>/dev/null; do sleep 0.2; done; \
	  unset RUST_LOG; $(CARGO_LAMBDA) invoke --invoke-address 127.0.0.1 --invoke-port $(INVOKE_PORT) --data-file "$(EVENT)" ecr-cleanup \
	    >$$report && $(PYTHON) -m json.tool <$$report

simulated-aws: ## Serve the demo's simulated account on PORT=4566, and print the environment variables to use it.
	@cargo build --quiet --features second-opinions --example demo
	@cargo run --quiet --features second-opinions --example demo -- --serve $(PORT)

deploy: ## Deploy STACK=ecr-cleanup with SAM. By default, the stack runs in dry-run mode.
	@echo "Builds the function and deploys it as the stack $(STACK), with profile $${AWS_PROFILE:-default}."
	@echo "SAM prompts for every parameter, and for confirmation before it deploys. With DryRun true the stack deletes nothing."
	@$(MAKE) --no-print-directory build-stack
	$(SAM) deploy --guided --confirm-changeset --stack-name $(STACK) --capabilities CAPABILITY_IAM

deploy-cargo-lambda: .venv/cargo-lambda ## Deploy only the function FUNCTION=ecr-cleanup with cargo lambda and the role ROLE_ARN=.
	@test -n "$(ROLE_ARN)" || { echo "can't deploy: ROLE_ARN= is missing. Create a role from infra/plain/trust-policy.json and policy-dry-run.json."; exit 2; }
	@echo "Builds the function and deploys it as $(FUNCTION), with profile $${AWS_PROFILE:-default} and the role $(ROLE_ARN)."
	@echo "Creates no schedule. To add one, edit infra/plain/schedule.json and run:"
	@echo "  aws scheduler create-schedule --cli-input-json file://infra/plain/schedule.json"
	$(CARGO_LAMBDA) build --release --bin ecr-cleanup --output-format zip $(if $(POLICIES),--include $(POLICIES))
	$(CARGO_LAMBDA) deploy $(FUNCTION) --binary-name ecr-cleanup --role $(ROLE_ARN) --timeout 900 --memory 512

invoke-remote: .venv/cargo-lambda ## Invoke the deployed FUNCTION= with EVENT=events/dry-run.json.
	@test -f "$(EVENT)" || { echo "can't read the event: there is no file $(EVENT). Set EVENT= to a file in events/."; exit 2; }
	@if grep -Eq '"dry-?[rR]un": *"?[fF]alse' "$(EVENT)" && [ "$(LIVE)" != yes ]; then \
	  echo "not invoked: $(EVENT) deletes images if the function's role allows it. To delete them, add LIVE=yes."; exit 2; fi
	@echo "Invokes $(FUNCTION) with $(EVENT), profile $${AWS_PROFILE:-default}." >&2
	@$(CARGO_LAMBDA) invoke --remote --data-file "$(EVENT)" $(FUNCTION)

logs: target/tools/sam/bin/sam ## Follow the log of the stack STACK=.
	@echo "Follows the log of the stack $(STACK), with profile $${AWS_PROFILE:-default}. Press Ctrl-C to stop." >&2
	@$(SAM) logs --stack-name $(STACK) --tail

destroy: target/tools/sam/bin/sam ## Delete the stack STACK= and its log. SAM prompts for confirmation. Deletes no images.
	@echo "Deletes the stack $(STACK), with profile $${AWS_PROFILE:-default}: function, schedule, alarms, role and log."
	$(SAM) delete --stack-name $(STACK)

fuzz: target/tools/bin/cargo-fuzz ## Fuzz every parser of external input for FUZZ_SECONDS=60 each. Requires a C++ compiler.
	@for target in $(FUZZ_TARGETS); do mkdir -p tests/fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $$target \
	    tests/fuzz/corpus/$$target events events/policies tests/real_manifests \
	    -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; done

clean: ## Remove all build results and installed tools.
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
