//! `make demo`: the real binary cleans simulated AWS accounts, one scene after the other.
//!
//! The first scenes run the Lambda function on a whole company ([`function`]). Each of the others ([`scenes`]) runs the
//! command on a small account, and shows one thing that ecr-cleanup protects or warns about.
//!
//! `--serve PORT` serves the company's account to tools that accept an endpoint, until Ctrl-C. `--serve PORT large` serves
//! an account with more stale images than a Lambda response can list. `--pages FOLDER` writes reports as HTML pages, for
//! the tests in a browser.

mod company;
mod failure;
mod function;
mod large;
mod output;
mod pages;
mod scene;
mod scenes;
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "demo [--serve PORT [company|large] | --pages FOLDER]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // An argument that isn't UTF-8 is no option and no port. As the name of a folder it fails too.
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate().await,
        ["-h" | "--help"] => output::say(&format!("Usage: {USAGE}")),
        ["--serve"] => serve::serve("", company::found).await,
        ["--serve", port] | ["--serve", port, "company"] => serve::serve(port, company::found).await,
        ["--serve", port, "large"] => serve::serve(port, large::found).await,
        ["--pages", folder] if !folder.is_empty() => pages::write(Path::new(folder)).await,
        ["--pages"] | ["--pages", ""] => {
            Err(Failure::Usage("can't write the pages: no folder is given. Run: demo --pages FOLDER".to_owned()))
        }
        _ => Err(Failure::Usage(format!("can't run the demo: unknown arguments. Run: {USAGE}"))),
    };
    done.map_or_else(Failure::exit, |()| ExitCode::SUCCESS)
}

/// Plays every scene. A scene that doesn't show what it promises is an error.
async fn demonstrate() -> Result<(), Failure> {
    let binary = binary()?;
    let played = function::play(&binary).await?;
    for (scene, number) in scenes::ALL.iter().zip(played + 1..) {
        scene::play(scene, number, &binary).await?;
    }
    Ok(())
}

/// The binary of ecr-cleanup. Cargo puts it into the folder above its examples.
fn binary() -> Result<PathBuf, Failure> {
    let failed =
        |cause: &str| Failure::Failed(format!("can't find the binary of ecr-cleanup: {cause}. Run: make demo"));
    let example = std::env::current_exe().map_err(|error| failed(&simulated_aws::plain(&error)))?;
    let folder = example.parent().and_then(Path::parent).ok_or_else(|| failed("the demo is in no folder"))?;
    let binary = folder.join("ecr-cleanup");
    if binary.is_file() { Ok(binary) } else { Err(failed(&format!("{} doesn't exist", binary.display()))) }
}
