//! Clients for comparison with the function: the SDK alone, and one that reads small pages one after the other.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecr::Client;
use aws_sdk_ecr::config::Credentials;
use futures::stream::{self, StreamExt};
use simulated_aws::{ACCOUNT, REGION, access_key_of};

async fn client(url: &str) -> Client {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "bench"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    Client::new(&config)
}

/// Lists all images in pages of 1,000, eight repositories at a time as the function does, and forgets them.
pub async fn list(url: &str, repositories: u32) {
    let ecr = client(url).await;
    let read =
        stream::iter(0..repositories).for_each_concurrent(8, async |number| _ = list_images(&ecr, number, 1_000).await);
    read.await;
    let mut stdout = std::io::stdout();
    stdout.write_all(b".").and_then(|()| stdout.flush()).expect("somebody waits for it");
    // The parent reads its resources while it waits.
    _ = std::io::stdin().read(&mut [0]);
}

/// Lists all images in pages of 100, one after the other. Returns the time that this takes.
pub async fn list_serially(url: &str, repositories: u32) -> Duration {
    let ecr = client(url).await;
    let begun = Instant::now();
    let mut images = 0;
    for number in 0..repositories {
        images += list_images(&ecr, number, 100).await;
    }
    assert!(images > 0, "there is nothing to list");
    begun.elapsed()
}

async fn list_images(ecr: &Client, number: u32, page_size: i32) -> usize {
    let name = super::worlds::name(number);
    let mut pages = ecr.describe_images().repository_name(name).into_paginator().page_size(page_size).send();
    let mut images = 0;
    while let Some(page) = pages.next().await {
        images += page.expect("a page").image_details().len();
    }
    images
}
