//! The memory's bucket in moto's S3: puts on a condition, listings of several pages, and two runs at once.

use std::collections::BTreeSet;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::Credentials;
use chrono::NaiveDate;
use ecr_cleanup::aws::{Aws, Bucket, Got};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::memory::Memory;
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::image::{ImageDigest, RepositoryName};
use ecr_cleanup_core::memory::Observed;

use crate::Moto;

const BUCKET: &str = "our-memory";

async fn aws_of(moto: &Moto) -> Aws {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(&moto.endpoint)
        .region(Region::from_static("us-west-2"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Aws::new(config.load().await)
}

async fn bytes_of(bucket: &Bucket, key: &str) -> Vec<u8> {
    bucket.get(key).await.unwrap().unwrap().bytes
}

/// One server for all of them, because it takes seconds to start.
#[tokio::test]
async fn the_memory_is_kept_in_another_s3() {
    let moto = Moto::start_with(&[("MOTO_S3_DEFAULT_MAX_KEYS", "3")]);
    an_object_is_put_once_for_each_version_that_was_read(&moto).await;
    a_listing_of_several_pages_has_every_key_below_the_prefix(&moto).await;
    what_two_runs_write_at_once_is_merged(&moto).await;
}

async fn an_object_is_put_once_for_each_version_that_was_read(moto: &Moto) {
    let bucket = aws_of(moto).await.bucket(BUCKET, Deadline::unknown());
    let key = "puts/one";
    assert_eq!(bucket.get(key).await.unwrap(), None);
    assert_eq!(bucket.put(key, b"early".into(), Some("\"00\"")).await.unwrap(), None, "it was deleted");

    let first = bucket.put(key, b"first".into(), None).await.unwrap().unwrap();
    assert_eq!(bucket.put(key, b"lost".into(), None).await.unwrap(), None, "another run has created it");
    assert_eq!(bucket.get(key).await.unwrap(), Some(Got { bytes: b"first".into(), etag: first.clone() }));

    let second = bucket.put(key, b"second".into(), Some(&first)).await.unwrap().unwrap();
    assert_ne!(second, first);
    assert_eq!(bucket.put(key, b"lost".into(), Some(&first)).await.unwrap(), None, "another run has replaced it");
    assert_eq!(bytes_of(&bucket, key).await, b"second");
    assert!(bucket.put(key, b"third".into(), Some(&second)).await.unwrap().is_some());
    assert_eq!(bytes_of(&bucket, key).await, b"third");
}

async fn a_listing_of_several_pages_has_every_key_below_the_prefix(moto: &Moto) {
    let bucket = aws_of(moto).await.bucket(BUCKET, Deadline::unknown());
    let keys: BTreeSet<String> = (0..10).map(|number| format!("listed/state/seen/{number:012}/eu.json.gz")).collect();
    for key in keys.iter().map(String::as_str).chain(["listed/plans/one", "other/state/one", "listed-state"]) {
        assert!(bucket.put(key, key.into(), None).await.unwrap().is_some());
    }
    let listed = bucket.list("listed/state/").await.unwrap();
    assert_eq!((listed.len(), listed.into_iter().collect()), (keys.len(), keys));
    assert_eq!(bucket.list("nobody/").await.unwrap(), [""; 0]);
    let error = aws_of(moto).await.bucket("no-such-bucket", Deadline::unknown()).list("").await.unwrap_err();
    assert_eq!(error.code, "NoSuchBucket");
}

async fn what_two_runs_write_at_once_is_merged(moto: &Moto) {
    let aws = aws_of(moto).await;
    let location = format!("s3://{BUCKET}/nightly").parse().unwrap();
    let places = [Place::new("123456789012".parse().unwrap(), "us-west-2".parse().unwrap())];
    let recall = async || Memory::recall(Some(&location), &aws, &places, &BTreeSet::new(), Deadline::unknown()).await;
    let app = RepositoryName::from_ecr("app");
    let image = |number: u8| ImageDigest::from_sha256([number; 32]);
    let day = |day| NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
    let write = async |memory: &Memory, number, at| {
        let trouble = memory
            .write_seen(|_, seen| {
                let used = vec![(image(number), format!("task {number}").into())];
                seen.observe(&app, Observed { used, ..Observed::default() }, day(at));
            })
            .await;
        assert_eq!(trouble, []);
    };
    // Both create the object. Then both replace it, the first of them without reading it again.
    let (one, other) = (recall().await, recall().await);
    write(&one, 1, 1).await;
    write(&other, 2, 1).await;
    write(&one, 3, 2).await;
    write(&other, 4, 2).await;
    let after = recall().await;
    assert_eq!(after.trouble(), None);
    let seen = after.seen(&places[0]).and_then(|seen| seen.of_repository(&app)).unwrap();
    let days = [1, 2, 3, 4].map(|number| seen.last_use(image(number)).map(|last| last.day));
    assert_eq!(days, [1, 1, 2, 2].map(|number| Some(day(number))));
}
