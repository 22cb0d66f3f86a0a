//! What a process used of the machine, as Linux tells it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// What a process used so far.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Time of all its threads.
    pub cpu: Duration,
    /// Bytes that were resident at once, at most.
    pub peak_memory: u64,
}

/// Linux counts time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// What a process that still runs used.
pub fn used(process_id: u32) -> Used {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process_id}/{name}")).expect("the process runs");
    let status = read("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    let stat = read("stat");
    // The second field is the name, in parentheses; time in user and kernel mode are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let ticks: u32 = fields[11..13].iter().map(|field| field.parse::<u32>().expect("a number")).sum();
    Used { cpu: TICK * ticks, peak_memory: kibibytes * 1_024 }
}

/// What the SDK alone uses to list all images of these repositories, in a process of its own.
pub async fn list_in_a_process(url: &str, repositories: u32) -> Used {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["--list", url, &repositories.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It says when it is done, and ends when it is told to.
    let mut done = [0];
    process.stdout.take().expect("it is piped").read_exact(&mut done).await.expect("it is done");
    let used = used(process.id().expect("it runs"));
    process.stdin.take().expect("it is piped").write_all(b"\n").await.expect("it listens");
    process.wait().await.expect("it ends");
    used
}
