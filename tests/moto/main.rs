//! A second opinion: the real binary against moto, an implementation of AWS's APIs that no one here wrote.
//!
//! The test compares the remaining images. moto doesn't page, ignores filters, and omits untagged images in its answer
//! to a delete.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may panic")]

mod memory;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use simulated_aws::Function;

/// The account in moto, seeded by `account.py`.
struct Moto {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    endpoint: String,
}

impl Moto {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("tests/moto/account.py"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Python of .venv, which `make test` sets up");
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&output.next().expect("account.py starts").unwrap()).unwrap();
        let endpoint = first["endpoint"].as_str().unwrap().to_owned();
        Self { process, input, output, endpoint }
    }

    fn left(&mut self) -> Value {
        writeln!(self.input).unwrap();
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[tokio::test]
async fn what_is_stale_goes_and_what_is_used_stays() {
    let mut moto = Moto::start();
    let function = Function::start(Path::new(env!("CARGO_BIN_EXE_ecr-cleanup")), &moto.endpoint, &[]).await;
    // moto does not implement account:ListRegions.
    let event = |dry_run| json!({ "dryRun": dry_run, "imagesToKeep": 3, "usageRegions": ["us-west-2", "eu-west-1"] });
    let before = moto.left();

    let dry = function.invoke(&event(true)).await.unwrap();
    assert_eq!(dry["outcome"], "planned");
    assert_eq!(dry["usage"]["references"], 3);
    assert_eq!(moto.left(), before, "a dry run deletes nothing");

    function.invoke(&event(false)).await.unwrap();
    // v3 runs in one region, and its tag is in use in every region of the registry.
    // v2 is kept for rollback. Of the images without an index, only the oldest was deleted.
    let multi = json!(["<untagged>", "<untagged>", "stale", "<untagged>", "<untagged>", "used"]);
    let app = json!(["v2", "v3", "v10", "v11", "v12", "<untagged>", "old-and-latest", "latest", "pulled"]);
    let expected = json!({
        "us-west-2": { "app": app, "by-digest": ["moved-away", "v2"], "idle": ["v1"], "multi": multi },
        "eu-west-1": { "app": app, "by-digest": ["moved-away", "v2"], "idle": ["v1"], "multi": multi },
    });
    assert_eq!(moto.left(), expected);

    let strict = json!({
        "dryRun": false, "imagesToKeep": 0, "keepBeforeInUse": 0, "usageRegions": ["us-west-2", "eu-west-1"],
    });
    function.invoke(&strict).await.unwrap();
    let app = json!(["v3", "<untagged>", "old-and-latest", "latest", "pulled"]);
    let expected = json!({
        "us-west-2": { "app": app, "by-digest": [], "idle": [], "multi": [] },
        // The running platform keeps its index, and so the other platform.
        "eu-west-1": { "app": app, "by-digest": ["moved-away"], "idle": [], "multi": ["<untagged>", "<untagged>", "used"] },
    });
    assert_eq!(moto.left(), expected);
    let again = function.invoke(&strict).await.unwrap();
    assert_eq!(again["totals"]["imagesStale"], 0);

    let remembering = json!({ "memory": "s3://our-memory/nightly", "usageRegions": ["us-west-2", "eu-west-1"] });
    for is_known in [false, true] {
        let report = function.invoke(&remembering).await.unwrap();
        assert_eq!(report["memory"]["since"].is_string(), is_known, "{}", report["memory"]);
        let warnings = report["warnings"].as_array().unwrap();
        let of_memory = |warning: &&Value| warning["code"].as_str().is_some_and(|code| code.starts_with("Memory"));
        assert_eq!(warnings.iter().find(of_memory), None);
    }
}
