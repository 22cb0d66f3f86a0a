//! Reads from Linux how much CPU time and memory a process used.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The resources that a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// The maximum resident memory, in bytes.
    pub peak_memory: u64,
}

/// Linux counts time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The resources that a running process has used.
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

/// The resources that the SDK alone uses to list all images of these repositories, in a separate process.
pub async fn list_in_a_process(url: &str, repositories: u32) -> Used {
    wait_for(&["--list", url, &repositories.to_string()]).await
}

/// The resources that this program uses with these arguments, in a separate process.
pub async fn wait_for(arguments: &[&str]) -> Used {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It reports when it is done, and ends on request.
    let mut done = [0];
    process.stdout.take().expect("it is piped").read_exact(&mut done).await.expect("it is done");
    let used = used(process.id().expect("it runs"));
    process.stdin.take().expect("it is piped").write_all(b"\n").await.expect("it listens");
    process.wait().await.expect("it ends");
    used
}
