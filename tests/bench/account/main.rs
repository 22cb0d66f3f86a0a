//! The performance numbers of the function, each beside its budget: `make bench`.
//!
//! The real binary runs against a simulated account that pages, limits batches, throttles, and answers after a fixed
//! time. Machines differ, so compared numbers are measured in the same run. `--only NAME` measures one part.

#![expect(clippy::expect_used, clippy::cast_precision_loss, reason = "a failing benchmark may panic")]

mod nights;
mod process;
mod sdk;
mod worlds;

use std::path::PathBuf;
use std::time::Duration;

use process::Used;
use serde_json::{Value, json};
use simulated_aws::{Function, SimulatedAws};
use tokio::time::Instant;

const MEBIBYTE: u64 = 1 << 20;
/// 256 MB.
const MILLION_IMAGES: &str = "244 MiB";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // This same program, as a client that only lists images.
        ["--list", url, repositories] => sdk::list(url, repositories.parse().expect("a number")).await,
        // This same program, reading and writing the objects of a memory.
        ["--remember", folder] => nights::read_and_write(folder),
        ["--only", name] => measure(&|part| part == name).await,
        [] => measure(&|_| true).await,
        _ => println!("usage: account [--only calls|serial|growth|quotas|start|manifests|nights|size]"),
    }
}

async fn measure(is_asked_for: &dyn Fn(&str) -> bool) {
    println!("{:<58} {:>16}   budget", "", "measured");
    if is_asked_for("start") {
        start().await;
    }
    if is_asked_for("calls") {
        calls().await;
    }
    if is_asked_for("serial") {
        against_a_serial_client().await;
    }
    if is_asked_for("quotas") {
        under_quotas().await;
    }
    if is_asked_for("growth") {
        growth().await;
    }
    if is_asked_for("manifests") {
        large_manifests().await;
    }
    if is_asked_for("nights") {
        two_nights().await;
    }
    if is_asked_for("size") {
        size();
    }
}

/// One line of the table.
fn show(what: &str, measured: &str, budget: &str) {
    println!("{what:<58} {measured:>16}   {budget}");
}

/// The function's report, with the time and resources that it took.
struct Run {
    report: Value,
    took: Duration,
    used: Used,
}

async fn run(aws: &SimulatedAws, event: &Value, environment: &[(&str, &str)]) -> Run {
    let function = Function::start(&PathBuf::from(env!("CARGO_BIN_EXE_ecr-cleanup")), aws.url(), environment).await;
    let begun = Instant::now();
    let report = function.invoke(event).await.expect("a report");
    let took = begun.elapsed();
    let used = process::used(function.process_id());
    _ = function.stop().await;
    Run { report, took, used }
}

fn total(report: &Value, name: &str) -> u64 {
    report["totals"][name].as_u64().expect("a total")
}

/// From the start of the process to its first call, and the memory of a run over a small account.
async fn start() {
    let aws = worlds::small().await;
    let mut starts = Vec::new();
    let mut memory = 0;
    for _ in 0..9 {
        aws.forget_calls();
        let begun = Instant::now();
        let Run { used, .. } = run(&aws, &json!({}), &[]).await;
        let first = aws.calls().first().expect("it calls AWS").at;
        starts.push(first.duration_since(begun));
        memory = used.peak_memory.max(memory);
    }
    starts.sort_unstable();
    show("process start to the first call (median of 9)", &format!("{:.1} ms", milliseconds(starts[4])), "30 ms");
    show("peak memory on a small account", &mebibytes(memory), "22.9 MiB");
}

/// The calls of a live run, against the fewest possible calls.
async fn calls() {
    let (aws, fewest) = worlds::live().await;
    let Run { report, .. } = run(&aws, &json!({ "dryRun": false, "imagesToKeep": 100 }), &[]).await;
    assert_eq!(total(&report, "imagesDeleted"), total(&report, "imagesStale"), "{}", report["outcome"]);
    let made = aws.calls().len();
    let ratio = made as f64 / fewest as f64;
    show(&format!("calls of a live run, against the fewest ({fewest})"), &format!("{made}, {ratio:.3} x"), "1.05 x");
}

/// 200 repositories of 1,000 images, 30 ms a call, against a client that reads pages of 100 one after the other.
async fn against_a_serial_client() {
    let aws = worlds::stale(200).await;
    aws.set_latency(Duration::from_millis(30));
    let Run { report, took, .. } = run(&aws, &json!({}), &[]).await;
    assert_eq!(total(&report, "images"), 200_000);
    let serial = sdk::list_serially(aws.url(), 200).await;
    show("200 x 1,000 images at 30 ms a call: a dry run", &seconds(took), "");
    show("  a serial client with pages of 100, that reads alone", &seconds(serial), "");
    let ratio = serial.as_secs_f64() / took.as_secs_f64();
    show("  speed-up", &format!("{ratio:.1} x"), "20 x");
}

/// Discovery under the published quotas, which other clients share.
async fn under_quotas() {
    for (name, world) in [
        ("100 clusters", worlds::Workloads::ManyClusters),
        ("one cluster of 6,000 tasks", worlds::Workloads::OneCluster),
    ] {
        let (aws, implied) = worlds::busy(world).await;
        let Run { report, took, .. } = run(&aws, &json!({}), &[]).await;
        assert_eq!(report["usage"]["complete"], true, "{}", report["warnings"]);
        let calls = aws.calls();
        let throttled = calls.iter().filter(|call| call.error.as_deref() == Some("ThrottlingException")).count();
        let ratio = took.as_secs_f64() / implied.as_secs_f64();
        show(&format!("{name} under quotas, against what its share implies"), &format!("{ratio:.2} x"), "1.3 x");
        let share = 100.0 * throttled as f64 / calls.len() as f64;
        show(&format!("  throttled, of {} calls", calls.len()), &format!("{share:.2} %"), "1 %");
    }
}

/// From an eighth of a million images to a million, nearly all of them stale.
async fn growth() {
    let mut before: Option<Used> = None;
    for repositories in [125, 1_000] {
        let aws = worlds::stale(repositories).await;
        let Run { report, used, took } = run(&aws, &json!({ "imagesToKeep": 10 }), &[]).await;
        let images = total(&report, "images");
        let alone = process::list_in_a_process(aws.url(), repositories).await;
        let micros = |used: &Used| used.cpu.as_secs_f64() * 1e6 / images as f64;
        println!(
            "{images} images in {repositories} repositories, {} stale, in {}",
            total(&report, "imagesStale"),
            seconds(took)
        );
        show("  peak memory", &mebibytes(used.peak_memory), if repositories == 1_000 { MILLION_IMAGES } else { "" });
        show("  CPU an image", &format!("{:.2} us", micros(&used)), "");
        show("  CPU an image of the SDK alone, pages of 1,000", &format!("{:.2} us", micros(&alone)), "");
        show("  ratio", &format!("{:.2} x", micros(&used) / micros(&alone)), "2 x");
        if let Some(before) = before.replace(used) {
            let ratio = used.cpu.as_secs_f64() / before.cpu.as_secs_f64();
            show("CPU of 1,000,000 images against 125,000", &format!("{ratio:.2} x"), "8 x: linear");
        }
    }
    let aws = worlds::one_repository().await;
    let Run { report, used, took } = run(&aws, &json!({ "imagesToKeep": 10 }), &[]).await;
    let images = total(&report, "images");
    println!("{images} images in one repository, {} stale, in {}", total(&report, "imagesStale"), seconds(took));
    show("  peak memory", &mebibytes(used.peak_memory), MILLION_IMAGES);
    let aws = worlds::multi_arch(1_000).await;
    let Run { report, used, .. } = run(&aws, &json!({ "imagesToKeep": 10 }), &[]).await;
    println!("{} images of multi-arch builds, {} stale", total(&report, "images"), total(&report, "imagesStale"));
    show("  peak memory", &mebibytes(used.peak_memory), MILLION_IMAGES);
}

/// A hundred indexes with manifests of the maximum size in ECR.
async fn large_manifests() {
    let aws = worlds::large_manifests().await;
    let Run { report, used, took } = run(&aws, &json!({ "imagesToKeep": 10 }), &[]).await;
    assert_eq!(total(&report, "imagesStale"), 90, "{}", report["outcome"]);
    let calls = aws.calls_of("ecr:BatchGetImage").len();
    println!("100 indexes of 4 MiB, read by {calls} calls in {}", seconds(took));
    show("  peak memory", &mebibytes(used.peak_memory), "381 MiB");
}

/// An estate of 10,000 task definition families and 5,000 functions, on two nights with a memory.
async fn two_nights() {
    let nights = std::thread::spawn(nights::two).join().expect("two nights");
    let [first, second] = &nights.nights;
    show("10,000 families and 5,000 functions: the first night", &seconds(first.took), "");
    show("  the second night, with a memory", &seconds(second.took), "90 s");
    let ratio = second.calls as f64 / second.listings as f64;
    show(&format!("  its calls, against its listings ({})", second.listings), &format!("{ratio:.3} x"), "1.05 x");
    let stored: u64 = nights.objects.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    show("  stored memory", &mebibytes(stored), "19.1 MiB");
    let folder = tempfile::tempdir().expect("a folder");
    for (key, bytes) in &nights.objects {
        let kind = key.split('/').nth(1).expect("a kind");
        std::fs::write(folder.path().join(kind), bytes).expect("an object is written");
    }
    let folder = folder.path().to_str().expect("a path");
    let begun = Instant::now();
    let used = process::wait_for(&["--remember", folder]).await;
    show("  to read and write it: time", &seconds(begun.elapsed()), "3 s");
    show("  to read and write it: peak memory of a process", &mebibytes(used.peak_memory), "61.0 MiB");
}

/// The function's zip, if it was built.
fn size() {
    let zip = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/lambda/ecr-cleanup/bootstrap.zip");
    let size = std::fs::metadata(zip).map_or("make build first".to_owned(), |zip| format!("{} bytes", zip.len()));
    show("zip for Lambda", &size, "6000000 bytes");
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MEBIBYTE as f64)
}
