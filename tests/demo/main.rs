//! `make demo`: the real function cleans a simulated company, dry, then live, then once more.
//!
//! With `--serve PORT` the company is only put up, for tools that take an endpoint; `--serve PORT large` puts up an account
//! with more stale images than a response holds; with `--pages FOLDER` it writes reports as pages, for browsers to be
//! tried on.

mod company;
mod large;
mod pages;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ecr_cleanup::show::table::{Colours, Details, Look, table_of};
use ecr_cleanup::show::view::View;
use serde::Deserialize;
use serde_json::Value;
use simulated_aws::{ACCOUNT, Function, REGION, SimulatedAws, access_key_of};

/// The width of what is no terminal: what fits into a README.
const WIDTH: u16 = 116;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let shown = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate().await,
        ["--serve", port] | ["--serve", port, "company"] => serve(port, company::found).await,
        ["--serve", port, "large"] => serve(port, large::found).await,
        ["--pages", folder] => pages::write(Path::new(folder)).await,
        _ => Err("usage: demo [--serve PORT [company|large] | --pages FOLDER]".to_owned()),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate() -> Result<(), String> {
    let aws = SimulatedAws::start().await;
    company::found(&aws);
    let function = Function::start(&binary()?, aws.url(), &[("RUST_LOG", "error")]).await;

    let dry = invoke(&function, &aws, "A dry run, the default: nothing is deleted", "dry-run.json").await?;
    let live = invoke(&function, &aws, "Live: what the dry run listed, and nothing else", "live.json").await?;
    let again = invoke(&function, &aws, "Live once more: nothing is left to do", "live.json").await?;

    let stale = |report: &Value| report["totals"]["imagesStale"].as_u64();
    let deleted = live["totals"]["imagesDeleted"].as_u64();
    if stale(&dry) != deleted || deleted == Some(0) || stale(&again) != Some(0) {
        return Err("the live run did not do what the dry run said, or left something to do".to_owned());
    }
    let held = [("workers/billing", "build-12"), ("web/assets", "build-40"), ("functions/thumbnails", "build-30")];
    if let Some((name, tag)) = held.into_iter().find(|(name, tag)| !aws.repository(name).tags().contains(*tag)) {
        return Err(format!("{name}:{tag} is in use, and gone"));
    }
    say("\nFar from the newest, and kept because something uses them:")?;
    for repository in view(&again)?.repositories {
        for image in &repository.only_in_use {
            say(&format!("  {} {}:{} by {}", repository.region, repository.name, image.name(), image.held_by))?;
        }
    }
    Ok(())
}

async fn invoke(function: &Function, aws: &SimulatedAws, title: &str, event: &str) -> Result<Value, String> {
    say(&format!("\n{title}\n$ invoke with events/{event}"))?;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events").join(event);
    let payload = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let payload: Value = serde_json::from_str(&payload).map_err(|error| format!("{}: {error}", path.display()))?;
    aws.forget_calls();
    let begun = Instant::now();
    let report = function.invoke(&payload).await.map_err(|error| format!("{error:?}"))?;
    let took = begun.elapsed();
    let terminal = std::io::stdout().is_terminal();
    let look = Look {
        width: comfy_table::Table::new().width().or(Some(WIDTH)),
        colours: if terminal { Colours::Ansi } else { Colours::None },
        details: Details::Repositories,
    };
    say(&table_of(&view(&report)?, &look))?;
    say(&format!("{} calls to AWS in {:.1} s.", aws.calls().len(), took.as_secs_f64()))?;
    Ok(report)
}

/// The report as people see it.
fn view(report: &Value) -> Result<View, String> {
    View::deserialize(report).map_err(|error| format!("the report is not what it should be: {error}"))
}

/// Prints a line. Where the reader has gone away there is nobody to tell.
fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("output not written: {error}"))
}

/// The function's binary, which Cargo puts one folder above its examples.
fn binary() -> Result<PathBuf, String> {
    let example = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = example.parent().and_then(|examples| examples.parent()).ok_or("the example has no folder")?;
    let binary = folder.join("ecr-cleanup");
    if binary.exists() { Ok(binary) } else { Err(format!("{} is not built; run make demo", binary.display())) }
}

async fn serve(port: &str, found: fn(&SimulatedAws)) -> Result<(), String> {
    let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
    let aws = SimulatedAws::start_on(port).await;
    found(&aws);
    say("# A simulated account, until Ctrl-C. What is deleted stays deleted. For another shell:")?;
    say(&format!("export AWS_ENDPOINT_URL={} AWS_REGION={REGION} AWS_EC2_METADATA_DISABLED=true", aws.url()))?;
    say(&format!("export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY=simulated", access_key_of(ACCOUNT)))?;
    tokio::signal::ctrl_c().await.map_err(|error| error.to_string())
}
