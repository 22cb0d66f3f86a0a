//! Reports as pages, each with its JSON beside it: the company's with layers counted once, a live run in which not
//! everything works out, one that is refused, and an account of a hundred thousand stale images some of whose names are markup.

use std::path::Path;

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use ecr_cleanup::aws::Aws;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::run::{Limits, Request, run};
use ecr_cleanup::show::html::html;
use ecr_cleanup_core::settings::Environment;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws, access_key_of};

use crate::company;

/// Writes them all.
pub async fn write(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let aws = SimulatedAws::start().await;
    company::found(&aws);
    page(&aws, json!({ "exactSizes": true }), &folder.join("company")).await?;

    let storefront = aws.repository("web/storefront");
    let failing =
        [(storefront.digest_of("build-3"), "KmsError"), (storefront.digest_of("build-4"), "ImageInaccessible")];
    aws.inject(Fault::image_failures(failing.iter().map(|(digest, code)| (digest.as_str(), *code))));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("tools/migrations"));
    page(&aws, json!({ "dryRun": false, "exactSizes": true }), &folder.join("live")).await?;

    page(&aws, json!({ "dryRun": false, "imagesToKeep": 20, "maxDeletions": 1 }), &folder.join("refused")).await?;

    let aws = SimulatedAws::start().await;
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
    // A registry would not take this tag. A page has to take anything.
    let image = Image::tagged("</script><img src=x onerror=document.title='taken'>\u{2028}").days_old(9_000.0);
    aws.repository("team-00/service").push(image);
    aws.cluster("prod").runs(&aws.repository("team-00/service").uri("build-0-2000"));
}

async fn page(aws: &SimulatedAws, event: Value, path: &Path) -> Result<(), String> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "simulated", None, None, "demo"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let limits = Limits::until(Deadline::unknown());
    let request = Request::parse(event, &Environment::new(), limits).map_err(|error| error.to_string())?;
    let report = Box::pin(run(&request, &Aws::new(config))).await.map_err(|error| error.to_string())?.report;
    let json = report.to_json().map_err(|error| error.to_string())?;
    let write = |ending: &str, text: &str| {
        let path = path.with_extension(ending);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("json", &json)?;
    write("html", &html(&report))
}
