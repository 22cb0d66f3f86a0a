//! The simulated account of a company: repositories with years of builds, multi-arch images, clusters in two Regions,
//! services, task definitions and a function.

use simulated_aws::{Image, Place, Service, SimulatedAws, Task};

const MB: u64 = 1 << 20;

/// How a repository was filled.
struct History {
    name: &'static str,
    /// The age of the repository in days.
    age: u32,
    /// The days from one build to the next.
    every: u32,
    /// The size of the first build in bytes.
    size: u64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Each build pushes one image, tagged with the build's number. The newest has the tag `latest` too.
    Numbered,
    /// Each build pushes an index with an image for each of two platforms, and a signature.
    MultiArch,
    /// Each build pushes one image and moves the tag `latest` to it, so the image before becomes untagged.
    Moving,
}

const HISTORIES: [History; 13] = [
    History { name: "web/storefront", age: 1_400, every: 2, size: 310 * MB, kind: Kind::MultiArch },
    History { name: "web/checkout", age: 1_100, every: 3, size: 260 * MB, kind: Kind::Numbered },
    History { name: "web/assets", age: 700, every: 4, size: 95 * MB, kind: Kind::Numbered },
    History { name: "api/orders", age: 1_300, every: 2, size: 180 * MB, kind: Kind::Numbered },
    History { name: "api/payments", age: 1_250, every: 5, size: 170 * MB, kind: Kind::Numbered },
    History { name: "api/search", age: 900, every: 3, size: 420 * MB, kind: Kind::MultiArch },
    History { name: "workers/billing", age: 1_500, every: 7, size: 150 * MB, kind: Kind::Numbered },
    History { name: "workers/mailer", age: 800, every: 6, size: 120 * MB, kind: Kind::Numbered },
    History { name: "data/forecast", age: 600, every: 2, size: 1_900 * MB, kind: Kind::Numbered },
    History { name: "data/notebooks", age: 500, every: 3, size: 2_600 * MB, kind: Kind::Moving },
    History { name: "tools/ci-runner", age: 1_000, every: 4, size: 740 * MB, kind: Kind::Moving },
    History { name: "functions/thumbnails", age: 900, every: 5, size: 210 * MB, kind: Kind::Numbered },
    History { name: "tools/migrations", age: 200, every: 14, size: 60 * MB, kind: Kind::Numbered },
];

/// Fills the account.
pub fn found(aws: &SimulatedAws) {
    let oregon = aws.region("us-west-2");
    let frankfurt = aws.region("eu-central-1");
    for history in &HISTORIES {
        live_through(history, &oregon);
    }
    for history in HISTORIES.iter().filter(|history| history.name.starts_with("api/")) {
        live_through(history, &frankfurt);
    }

    // ECR records no pull when the role of ecr-cleanup reads a manifest.
    for place in [&oregon, &frankfurt] {
        place.exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    }

    let runs = |place: &Place, cluster: &str, repository: &str, build: u32| {
        let repository = place.repository(repository);
        place.cluster(cluster).runs(&repository.uri(&tag(build)));
    };
    for (repository, build) in [("web/storefront", 699), ("web/checkout", 365), ("web/assets", 174)] {
        runs(&oregon, "web-production", repository, build);
        runs(&oregon, "web-production", repository, build);
    }
    for (repository, build) in [("api/orders", 649), ("api/payments", 249), ("api/search", 299)] {
        runs(&oregon, "api-production", repository, build);
        runs(&frankfurt, "api-production", repository, build - 3);
    }
    runs(&oregon, "staging", "web/storefront", 700);
    // Billing was not deployed for years, so its image is far from the newest.
    runs(&oregon, "batch", "workers/billing", 12);
    // The tag `stable` has moved to a newer image, and the task still runs the old digest.
    let forecast = oregon.repository("data/forecast");
    oregon.cluster("batch").start(Task::pulled(&forecast.uri("stable"), &forecast.digest_of(&tag(90))));
    oregon.cluster("batch").start(Task::of(&oregon.repository("workers/mailer").uri(&tag(20))).stopped());

    // This service is scaled to zero. It uses an old image whenever it is scaled up.
    let assets = oregon.register("assets-at-night", &[&oregon.repository("web/assets").uri(&tag(40))]);
    oregon.cluster("web-production").create(Service::of(&assets).at_zero());
    // ECS pinned the digest of `stable` when the service was deployed. The tag has moved since.
    let checkout = oregon.repository("web/checkout");
    checkout.retag(&tag(200), "stable");
    let stable = checkout.uri("stable");
    let definition = oregon.register("checkout", &[&stable]);
    let pinned = oregon.service_revision(&definition, &[(&stable, Some(&checkout.digest_of("stable")))]);
    oregon.cluster("web-production").create(Service::of(&definition).revision(&pinned));
    checkout.retag(&tag(360), "stable");
    // This lifecycle policy would expire images in use, because ECR doesn't know which images are in use.
    oregon.repository("workers/billing").set_lifecycle_policy(&serde_json::json!({ "rules": [{
        "rulePriority": 1,
        "description": "keep 90 builds",
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 90 },
        "action": { "type": "expire" },
    }] }));
    // Once a month, a schedule starts the newest revision of this family.
    oregon.register("monthly-invoices", &[&oregon.repository("workers/billing").uri(&tag(60))]);
    // The alias still routes a tenth of the traffic to an old version.
    let thumbnails = oregon.repository("functions/thumbnails");
    let function = oregon.function("thumbnails", &thumbnails.uri("latest"), None);
    let old =
        function.publish(&thumbnails.uri(&tag(30)), Some(&thumbnails.uri_by_digest(&thumbnails.digest_of(&tag(30)))));
    let new = function.publish(&thumbnails.uri(&tag(178)), None);
    function.alias("live", &new, &[&old]);
}

fn live_through(history: &History, place: &Place) {
    let repository = place.repository(history.name);
    let builds = history.age / history.every;
    repository.push_all((1..=builds).flat_map(|build| build_images(history, build, builds)));
    if history.name == "data/forecast" {
        repository.retag(&tag(builds - 1), "stable");
    }
}

fn build_images(history: &History, build: u32, builds: u32) -> Vec<Image> {
    let days = f64::from((builds - build) * history.every) + 0.4;
    // Each build is a little larger than the one before.
    let size = history.size + history.size / 500 * u64::from(build);
    let newest = build == builds;
    let named =
        |image: Image| if newest { image.and_tag(&tag(build)).and_tag("latest") } else { image.and_tag(&tag(build)) };
    match history.kind {
        Kind::Numbered => vec![named(built(history, build, size, "")).days_old(days)],
        Kind::MultiArch => {
            let platforms = [("amd64", size), ("arm64", size - size / 20)]
                .map(|(platform, size)| built(history, build, size, platform).days_old(days));
            let index = named(Image::index_of(&platforms)).days_old(days);
            let signature = Image::tagged(&Image::tag_about(index.digest(), ".sig")).days_old(days).size(MB / 256);
            platforms.into_iter().chain([index, signature]).collect()
        }
        Kind::Moving if newest => vec![built(history, build, size, "").and_tag("latest").days_old(days)],
        Kind::Moving => vec![built(history, build, size, "").days_old(days)],
    }
}

/// An image of three layers: a base that 120 builds share, dependencies that 12 builds share, and the build itself.
fn built(history: &History, build: u32, size: u64, platform: &str) -> Image {
    let layer = |what: &str, every: u32| format!("{} {platform} {what} {}", history.name, build / every);
    // Builds that share a layer must agree on its size.
    let base = history.size / 2;
    let dependencies = history.size / 4;
    Image::of_layers(&[
        (&layer("base", 120), base),
        (&layer("dependencies", 12), dependencies),
        (&layer("build", 1), size - base - dependencies),
    ])
}

fn tag(build: u32) -> String {
    format!("build-{build}")
}
