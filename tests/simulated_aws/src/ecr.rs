//! ECR: <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fault::Effect;
use crate::page::{Limits, listing, page};
use crate::replication::describe_registry;
use crate::request::{Request, ServiceError};
use crate::world::{Region, StoredImage};

const INVALID: &str = "InvalidParameterException";
const PAGES: Limits = Limits { default: 100, max: 1_000, error: INVALID };
const IDS_PER_CALL: usize = 100;

type Images = BTreeMap<String, StoredImage>;

pub(crate) fn answer(
    region: &mut Region,
    request: &Request,
    caller: &str,
    fault: Option<&Effect>,
    now: f64,
) -> Result<Value, ServiceError> {
    match request.action.as_str() {
        "DescribeRegistry" => Ok(describe_registry(region, request)),
        "DescribeRepositories" => describe_repositories(region, request),
        "DescribeImages" => describe_images(images(region, request)?, request),
        "BatchGetImage" => {
            let is_excluded = region.pull_time_update_exclusions.iter().any(|arn| names(arn, caller));
            batch_get_image(images(region, request)?, request, (!is_excluded).then_some(now), fault)
        }
        "ListPullTimeUpdateExclusions" => {
            let excluded: Vec<String> = region.pull_time_update_exclusions.iter().cloned().collect();
            let (excluded, next) = page(&request.body, &excluded, PAGES)?;
            Ok(listing("pullTimeUpdateExclusions", excluded, next))
        }
        "GetLifecyclePolicy" => get_lifecycle_policy(region, request),
        "UpdateImageStorageClass" => update_image_storage_class(images(region, request)?, request, now),
        "GetRegistryPolicy" => get_registry_policy(region, request),
        "GetRepositoryPolicy" => get_repository_policy(region, request),
        "BatchDeleteImage" => batch_delete_image(images(region, request)?, request, fault),
        action => Err(ServiceError::new(400, "UnknownOperationException", action)),
    }
}

fn images<'a>(region: &'a mut Region, request: &Request) -> Result<&'a mut Images, ServiceError> {
    let name = request.text("repositoryName", INVALID)?;
    region.repositories.get_mut(name).ok_or_else(|| no_repository(name, &request.account))
}

fn describe_repositories(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let (names, next) = match request.body["repositoryNames"].as_array() {
        None => page(&request.body, &region.repositories.keys().cloned().collect::<Vec<_>>(), PAGES)?,
        Some(asked) => (named(region, asked, &request.account)?, None),
    };
    let repositories: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "registryId": request.account,
                "repositoryName": name,
                "repositoryArn": format!("arn:aws:ecr:{}:{}:repository/{name}", request.region, request.account),
                "repositoryUri": format!("{}.dkr.ecr.{}.amazonaws.com/{name}", request.account, request.region),
                "createdAt": 1_500_000_000,
            })
        })
        .collect();
    Ok(listing("repositories", repositories, next))
}

/// The repositories that a request lists. If one doesn't exist, ECR rejects the whole call.
fn named(region: &Region, asked: &[Value], account: &str) -> Result<Vec<String>, ServiceError> {
    let names = asked.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    match names.iter().find(|name| !region.repositories.contains_key(*name)) {
        Some(name) => Err(no_repository(name, account)),
        None => Ok(names),
    }
}

fn no_repository(name: &str, account: &str) -> ServiceError {
    let message = format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
    ServiceError::new(400, "RepositoryNotFoundException", &message)
}

fn get_registry_policy(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let policy = region.registry_policy.as_ref().ok_or_else(|| {
        let message = format!("Registry policy does not exist in the registry with id '{}'", request.account);
        ServiceError::new(400, "RegistryPolicyNotFoundException", &message)
    })?;
    Ok(json!({ "registryId": request.account, "policyText": policy }))
}

fn get_lifecycle_policy(region: &mut Region, request: &Request) -> Result<Value, ServiceError> {
    images(region, request)?;
    let name = request.text("repositoryName", INVALID)?;
    let policy = region.lifecycle_policies.get(name).ok_or_else(|| {
        let message = format!("Lifecycle policy does not exist for the repository with name '{name}'");
        ServiceError::new(400, "LifecyclePolicyNotFoundException", &message)
    })?;
    Ok(json!({ "registryId": request.account, "repositoryName": name, "lifecyclePolicyText": policy }))
}

/// Moves an image to archive storage, even a child image of an index. AWS documents no error for that.
fn update_image_storage_class(images: &mut Images, request: &Request, now: f64) -> Result<Value, ServiceError> {
    if request.body["targetStorageClass"] != "ARCHIVE" {
        return Err(ServiceError::new(400, "ValidationException", "only ARCHIVE is simulated"));
    }
    let id = &request.body["imageId"];
    let digest = digest_of(images, id).ok_or_else(|| {
        ServiceError::new(400, "ImageNotFoundException", &format!("The image with imageId {id} does not exist"))
    })?;
    if let Some(stored) = images.get_mut(&digest) {
        stored.archive(now);
    }
    let name = &request.body["repositoryName"];
    Ok(json!({ "registryId": request.account, "repositoryName": name, "imageId": id, "imageStatus": "ARCHIVED" }))
}

fn get_repository_policy(region: &mut Region, request: &Request) -> Result<Value, ServiceError> {
    images(region, request)?;
    let name = request.text("repositoryName", INVALID)?;
    let policy = region.policies.get(name).ok_or_else(|| {
        let message = format!("Repository policy does not exist for the repository with name '{name}'");
        ServiceError::new(400, "RepositoryPolicyNotFoundException", &message)
    })?;
    Ok(json!({ "registryId": request.account, "repositoryName": name, "policyText": policy }))
}

/// Whether an IAM ARN is the caller's. The ARN of a role's session lacks the role's path.
fn names(principal_arn: &str, caller: &str) -> bool {
    let role = caller.split_once(":assumed-role/").and_then(|(_, session)| session.split('/').next());
    principal_arn == caller || role.is_some_and(|role| principal_arn.rsplit('/').next() == Some(role))
}

/// The image ids of a request. ECR rejects more than 100.
fn image_ids(request: &Request) -> Result<Vec<Value>, ServiceError> {
    let ids = request.body["imageIds"].as_array().cloned().unwrap_or_default();
    if (1..=IDS_PER_CALL).contains(&ids.len()) {
        return Ok(ids);
    }
    Err(ServiceError::new(400, INVALID, &format!("imageIds must be between 1 and {IDS_PER_CALL}")))
}

fn digest_of(images: &Images, id: &Value) -> Option<String> {
    match (id["imageDigest"].as_str(), id["imageTag"].as_str()) {
        (Some(digest), _) => images.contains_key(digest).then(|| digest.to_owned()),
        (None, Some(tag)) => {
            images.values().find(|stored| stored.image.tags.contains(tag)).map(|stored| stored.image.digest.clone())
        }
        (None, None) => None,
    }
}

/// Returns manifests. ECR records that as a pull of each image, unless the caller is a pull-time exclusion. It can't return
/// the manifest of an archived image. It returns an image once for each of its tags.
fn batch_get_image(
    images: &mut Images,
    request: &Request,
    pulled_at: Option<f64>,
    fault: Option<&Effect>,
) -> Result<Value, ServiceError> {
    let accepted = request.body["acceptedMediaTypes"].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for id in image_ids(request)? {
        let mut fail = |code: &str, reason: &str| {
            failures.push(json!({ "imageId": id, "failureCode": code, "failureReason": reason }));
        };
        let digest = digest_of(images, &id);
        let Some(stored) = digest.as_ref().and_then(|digest| images.get_mut(digest)) else {
            fail("ImageNotFound", "Requested image not found");
            continue;
        };
        let image = &stored.image;
        let simulated = match fault {
            Some(Effect::ImageFailures(failures)) => failures.get(&image.digest),
            _ => None,
        };
        if let Some(code) = simulated {
            fail(code, "simulated");
        } else if image.status.as_deref().is_some_and(|status| status != "ACTIVE") {
            fail("ImageInaccessible", "Requested image is archived");
        } else if !accepted.contains(&json!(image.media_type)) {
            return Err(ServiceError::new(400, INVALID, &format!("{} is not accepted", image.media_type)));
        } else {
            let mut tell = |id: Value| {
                found.push(json!({
                    "registryId": request.account,
                    "repositoryName": request.body["repositoryName"],
                    "imageId": id,
                    "imageManifest": image.manifest,
                    "imageManifestMediaType": image.media_type,
                }));
            };
            if image.tags.is_empty() {
                tell(json!({ "imageDigest": image.digest }));
            }
            image.tags.iter().for_each(|tag| tell(json!({ "imageDigest": image.digest, "imageTag": tag })));
            stored.pulled_at = pulled_at.or(stored.pulled_at);
        }
    }
    Ok(json!({ "images": found, "failures": failures }))
}

/// Describes images by their ids. If one doesn't exist, ECR rejects the whole call.
fn describe_by_ids(images: &Images, request: &Request) -> Result<Value, ServiceError> {
    if !request.body["maxResults"].is_null() || !request.body["nextToken"].is_null() {
        return Err(ServiceError::new(400, INVALID, "imageIds can't be used with paging"));
    }
    let mut described = Vec::new();
    for id in image_ids(request)? {
        let digest = digest_of(images, &id).ok_or_else(|| {
            let message = format!(
                "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with \
                 name '{}' in the registry with id '{}'",
                id["imageDigest"].as_str().unwrap_or("null"),
                id["imageTag"].as_str().unwrap_or("null"),
                request.body["repositoryName"].as_str().unwrap_or_default(),
                request.account,
            );
            ServiceError::new(400, "ImageNotFoundException", &message)
        })?;
        described.extend(images.get(&digest).filter(|stored| is_shown(stored, request)));
    }
    Ok(json!({ "imageDetails": described.into_iter().map(|stored| image_detail(stored, request)).collect::<Vec<_>>() }))
}

/// Whether an image passes the request's filter. Without a filter, ECR hides archived images.
fn is_shown(stored: &StoredImage, request: &Request) -> bool {
    let status = request.body["filter"]["imageStatus"].as_str().unwrap_or("ACTIVE");
    let tag_status = request.body["filter"]["tagStatus"].as_str().unwrap_or("ANY");
    (status == "ANY" || stored.image.status.as_deref().unwrap_or("ACTIVE") == status)
        && (tag_status == "ANY" || (tag_status == "TAGGED") != stored.image.tags.is_empty())
}

fn describe_images(images: &Images, request: &Request) -> Result<Value, ServiceError> {
    if !request.body["imageIds"].is_null() {
        return describe_by_ids(images, request);
    }
    let shown = images.iter().filter(|(_, stored)| is_shown(stored, request));
    let digests: Vec<&String> = shown.map(|(digest, _)| digest).collect();
    let (digests, next) = page(&request.body, &digests, PAGES)?;
    let described = digests.into_iter().map(|digest| image_detail(&images[digest], request));
    Ok(listing("imageDetails", described.collect(), next))
}

fn image_detail(stored: &StoredImage, request: &Request) -> Value {
    let StoredImage { image, pushed_at, pulled_at, archived_at, restored_at } = stored;
    let mut detail = Map::new();
    let mut tell = |name: &'static str, value: Value| {
        if !value.is_null() && !image.without.contains(&name) {
            detail.insert(name.to_owned(), value);
        }
    };
    tell("registryId", request.account.as_str().into());
    tell("repositoryName", request.body["repositoryName"].clone());
    tell("imageDigest", image.digest.as_str().into());
    // ECR leaves the field out for an untagged image. It returns no empty list.
    tell("imageTags", if image.tags.is_empty() { Value::Null } else { json!(image.tags) });
    tell("imageSizeInBytes", image.size.into());
    tell("imagePushedAt", (*pushed_at).into());
    tell("imageManifestMediaType", image.media_type.into());
    tell("lastRecordedPullTime", json!(pulled_at));
    tell("imageStatus", json!(image.status));
    tell("lastArchivedAt", json!(archived_at));
    tell("lastActivatedAt", json!(restored_at));
    tell("subjectManifestDigest", json!(image.subject));
    detail.into()
}

/// Deletes images. By digest, ECR deletes the image with all its tags. By tag, ECR deletes the tag, and the image with its
/// last tag. ECR keeps a child image while its index exists.
fn batch_delete_image(images: &mut Images, request: &Request, fault: Option<&Effect>) -> Result<Value, ServiceError> {
    let mut deleted = Vec::new();
    let mut failures = Vec::new();
    for id in image_ids(request)? {
        let gone = match (id["imageDigest"].as_str(), id["imageTag"].as_str()) {
            (Some(_), Some(_)) => Err(("InvalidImageDigest", "digest and tag together are undocumented")),
            (Some(digest), None) => match fault {
                Some(Effect::ImageFailures(failures)) if failures.contains_key(digest) => {
                    Err((failures[digest].as_str(), "simulated"))
                }
                _ => delete_by_digest(images, digest),
            },
            (None, Some(tag)) => delete_by_tag(images, tag),
            (None, None) => Err(("MissingDigestAndTag", "neither digest nor tag")),
        };
        match gone {
            Ok(ids) => deleted.extend(ids),
            Err((code, reason)) => {
                failures.push(json!({ "imageId": id, "failureCode": code, "failureReason": reason }));
            }
        }
    }
    Ok(json!({ "imageIds": deleted, "failures": failures }))
}

fn delete_by_digest(images: &mut Images, digest: &str) -> Result<Vec<Value>, (&'static str, &'static str)> {
    let stored = images.get(digest).ok_or(("ImageNotFound", "Requested image not found"))?;
    let of_an_index = images.values().any(|parent| parent.image.children.iter().any(|child| child == digest));
    if of_an_index {
        return Err(("ImageReferencedByManifestList", "Requested image referenced by manifest list"));
    }
    let tags: Vec<String> = stored.image.tags.iter().cloned().collect();
    images.remove(digest);
    Ok(if tags.is_empty() {
        vec![json!({ "imageDigest": digest })]
    } else {
        tags.iter().map(|tag| json!({ "imageDigest": digest, "imageTag": tag })).collect()
    })
}

fn delete_by_tag(images: &mut Images, tag: &str) -> Result<Vec<Value>, (&'static str, &'static str)> {
    let stored = images
        .values_mut()
        .find(|stored| stored.image.tags.contains(tag))
        .ok_or(("ImageNotFound", "Requested image not found"))?;
    let digest = stored.image.digest.clone();
    if stored.image.tags.len() == 1 {
        return delete_by_digest(images, &digest);
    }
    stored.image.tags.remove(tag);
    Ok(vec![json!({ "imageDigest": digest, "imageTag": tag })])
}
