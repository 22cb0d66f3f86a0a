//! Reports as HTML pages, each with its JSON beside it.
//!
//! `company` is a dry run on the company that counts each layer once. `live` is a live run in which some calls fail.
//! `refused` is a live run that deletes nothing, because its plan has more images than `maxDeletions`. `crowd` has a hundred
//! thousand stale images, and a tag that contains HTML.

use std::path::Path;

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use ecr_cleanup::aws::Aws;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::event::Event;
use ecr_cleanup::run::{Limits, Request, run};
use ecr_cleanup::show::html::html;
use ecr_cleanup_core::settings::Environment;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws, access_key_of};

use crate::company;
use crate::failure::Failure;

/// Writes all pages into a folder, which it creates if it doesn't exist.
pub async fn write(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;

    let aws = SimulatedAws::start_on(0).await?;
    company::found(&aws);
    page(&aws, json!({ "exactSizes": true }), &folder.join("company")).await?;

    let storefront = aws.repository("web/storefront");
    let failing =
        [(storefront.digest_of("build-3"), "KmsError"), (storefront.digest_of("build-4"), "ImageInaccessible")];
    aws.inject(Fault::image_failures(failing.iter().map(|(digest, code)| (digest.as_str(), *code))));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("tools/migrations"));
    page(&aws, json!({ "dryRun": false, "exactSizes": true }), &folder.join("live")).await?;

    page(&aws, json!({ "dryRun": false, "imagesToKeep": 20, "maxDeletions": 1 }), &folder.join("refused")).await?;

    let aws = SimulatedAws::start_on(0).await?;
    crowd(&aws);
    page(&aws, json!({ "imagesToKeep": 1, "keepPulledWithinDays": 0, "keepBeforeInUse": 0 }), &folder.join("crowd"))
        .await
}

/// A hundred thousand stale images.
fn crowd(aws: &SimulatedAws) {
    for team in 0..40 {
        let builds = (0..2_501).map(|build| Image::tagged(&format!("build-{team}-{build}")).days_old(f64::from(build)));
        aws.repository(&format!("team-{team:02}/service")).push_all(builds);
    }
    // ECR accepts no such tag. A page must show any text as text.
    let image = Image::tagged("</script><img src=x onerror=document.title='taken'>\u{2028}").days_old(9_000.0);
    aws.repository("team-00/service").push(image);
    aws.cluster("prod").runs(&aws.repository("team-00/service").uri("build-0-2000"));
}

/// Runs ecr-cleanup on the account with this event, and writes its report as `path.json` and `path.html`.
async fn page(aws: &SimulatedAws, event: Value, path: &Path) -> Result<(), Failure> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "simulated", None, None, "demo"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let limits = Limits::until(Deadline::unknown());
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Failed(format!("can't make the page {}: {error}. Please report this as a bug.", path.display()))
    };
    let event = Event::parse(event).map_err(|error| failed(&error))?;
    let request = Request::of(&event, None, &Environment::new(), limits).map_err(|error| failed(&error))?;
    let report = Box::pin(run(&request, &Aws::new(config))).await.map_err(|error| failed(&error))?.report;
    let json = report.to_json().map_err(|error| failed(&error))?;
    let write = |ending: &str, text: &str| {
        let path = path.with_extension(ending);
        std::fs::write(&path, text).map_err(|error| unwritten(&path, &error))
    };
    write("json", &json)?;
    write("html", &html(&report))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::unwritten(&path.display(), error, "Choose a folder that you can write to, on a disk with free space.")
}
