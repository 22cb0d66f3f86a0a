//! A scene: the real command shows one behaviour on a small account.
//!
//! To add a scene, write a file in `scenes` with a `pub const SCENE`, and add its row to `scenes::ALL`. The demo then plays
//! it, and fails if the scene doesn't show what it promises.

use std::path::Path;
use std::process::Stdio;

use simulated_aws::{ACCOUNT, REGION, SimulatedAws, access_key_of, plain};
use tempfile::TempDir;
use tokio::process::Command;

use crate::failure::Failure;
use crate::output::{announce, say};

/// One behaviour, and how the demo shows it.
pub struct Scene {
    /// The behaviour, in a few words.
    pub title: &'static str,
    /// One sentence on what to look for in the output.
    pub see: &'static str,
    /// Fills the account before the first step.
    pub account: fn(&SimulatedAws),
    /// The files that the commands read: each file's name and content.
    pub files: &'static [(&'static str, &'static str)],
    /// What happens, in this order.
    pub steps: &'static [Step],
    /// Texts that the commands must print, such as the tag of an image.
    pub prints: &'static [&'static str],
    /// Images that the account must still have after the last step.
    pub kept: &'static [Image],
    /// Images that the account must not have any more after the last step.
    pub deleted: &'static [Image],
}

/// A part of a scene.
pub enum Step {
    /// Runs a command in a shell, in the folder of the scene's files.
    Run(&'static str),
    /// Changes the account. The text says how.
    Change(&'static str, fn(&SimulatedAws)),
}

/// An image by its Region, repository and tag.
pub struct Image(pub &'static str, pub &'static str, pub &'static str);

/// Plays a scene on an account of its own.
pub async fn play(scene: &Scene, number: usize, binary: &Path) -> Result<(), Failure> {
    let Scene { title, see, account, files, steps, prints, kept, deleted } = scene;
    let aws = SimulatedAws::start_on(0).await?;
    account(&aws);
    let folder = folder_with(files)?;
    announce(number, title, see)?;
    let mut printed = String::new();
    for step in *steps {
        match step {
            Step::Run(command) => {
                say(&format!("$ {command}"))?;
                let output = run(command, &aws, folder.path(), binary).await?;
                say(output.trim_end())?;
                printed.push_str(&output);
            }
            Step::Change(what, change) => {
                say(&format!("# {what}"))?;
                change(&aws);
            }
        }
    }
    let untrue = |what: String| Err(Failure::untrue(&format!("{title}: {what}")));
    if let Some(missing) = prints.iter().find(|text| !printed.contains(**text)) {
        return untrue(format!("the output has no {missing}"));
    }
    let exists = |Image(region, repository, tag): &Image| {
        aws.place(ACCOUNT, region).repository(repository).tags().contains(*tag)
    };
    if let Some(Image(region, repository, tag)) = kept.iter().find(|image| !exists(image)) {
        return untrue(format!("{repository}:{tag} was deleted in {region}"));
    }
    if let Some(Image(region, repository, tag)) = deleted.iter().find(|image| exists(image)) {
        return untrue(format!("{repository}:{tag} was kept in {region}"));
    }
    Ok(())
}

/// A temporary folder with these files.
fn folder_with(files: &[(&str, &str)]) -> Result<TempDir, Failure> {
    let failed = |error: std::io::Error| {
        Failure::unwritten(&"to a temporary folder", &error, "Set TMPDIR to a folder on a disk with free space.")
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).map_err(failed)?;
    }
    Ok(folder)
}

/// Runs a command on the account, and returns what it prints: stdout, then stderr. Configuration of this machine has no
/// effect.
async fn run(command: &str, aws: &SimulatedAws, folder: &Path, binary: &Path) -> Result<String, Failure> {
    let failed = |cause: &str| Failure::Failed(format!("can't run `{command}`: {cause}. Run: make demo"));
    let own = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(binary.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&own)))
        .map_err(|error| failed(&error.to_string()))?;
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .envs([
            ("AWS_ENDPOINT_URL", aws.url()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", access_key_of(ACCOUNT).as_str()),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(&plain(&error)))?;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    // The output of a failed command is its error message.
    if output.status.success() { Ok(stdout + &stderr) } else { Err(failed(&format!("{stdout}{stderr}"))) }
}
