//! A list of images in use from another tool: text with one image per word, or the output of `kubectl -o json` for pods,
//! workloads and nodes.
//!
//! Such a list protects its images. So the error message of a failed command must not count as a short list. The whole text
//! is rejected if any word of it can't be an image.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::account::AccountId;
use crate::image::{ImageDigest, RepositoryName};
use crate::plan::{HeldImage, Plan, RegistryPlan};
use crate::reference::ImageReference;
use crate::strict_json;

/// Prefixes that container runtimes write before an image reference.
const SCHEMES: [&str; 2] = ["docker-pullable://", "docker://"];

/// A name with an optional tag and an optional digest: the grammar of image references, without limits of length.
static IMAGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const COMPONENT: &str = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*";
    const HOST: &str = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?";
    const TAG: &str = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    const DIGEST: &str = "[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9A-Fa-f]{32,}";
    Regex::new(&format!("^(?:{HOST}/)?{COMPONENT}(?:/{COMPONENT})*(?::{TAG})?(?:@{DIGEST})?$")).ok()
});

/// Why a text is not a list of images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// A word of this line can't be an image.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// It starts with `{` or `[` and is not valid JSON.
    #[error("it is not valid JSON: {0}")]
    NotJson(String),
    /// Something in its JSON can't be an image.
    #[error("{0}")]
    InJson(String),
    /// It has no image.
    #[error("it lists no image. If no image is in use there, leave it out")]
    Empty,
}

/// The images of a list, each once.
///
/// # Errors
/// If a word can't be an image, or the list is empty: probably the command that wrote it has failed.
pub fn read(text: &str) -> Result<BTreeSet<String>, NotAList> {
    let images = if text.trim_start().starts_with(['{', '[']) { in_json(text)? } else { in_lines(text)? };
    if images.is_empty() { Err(NotAList::Empty) } else { Ok(images) }
}

fn in_lines(text: &str) -> Result<BTreeSet<String>, NotAList> {
    let mut images = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split_whitespace() {
            images.insert(image(word).map_err(|problem| NotAList::Line(number + 1, problem))?);
        }
    }
    Ok(images)
}

/// Checks that a word is an image reference, and removes a runtime's prefix.
fn image(word: &str) -> Result<String, String> {
    let name = SCHEMES.iter().find_map(|scheme| word.strip_prefix(scheme)).unwrap_or(word);
    if name.parse::<ImageDigest>().is_ok() {
        return Ok(name.to_owned());
    }
    match name.parse() {
        Ok(ImageReference::Ecr(_)) => Ok(name.to_owned()),
        Ok(ImageReference::Foreign(_)) if IMAGE.as_ref().is_some_and(|image| image.is_match(name)) => {
            Ok(name.to_owned())
        }
        Ok(ImageReference::Foreign(_)) => {
            Err(format!("invalid image \"{word}\": expected repository:tag or repository@sha256:<64 hex digits>"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn in_json(text: &str) -> Result<BTreeSet<String>, NotAList> {
    let value = strict_json::read(text).map_err(|error| NotAList::NotJson(error.to_string()))?;
    let mut named = Vec::new();
    collect(&value, &mut named);
    // A container that waits for its image has an empty id.
    let named = named.into_iter().filter(|name| !name.is_empty());
    named.map(|name| image(name).map_err(NotAList::InJson)).collect()
}

/// Collects the images of pod specifications and pod statuses at any depth of Kubernetes objects.
fn collect<'a>(value: &'a Value, named: &mut Vec<&'a str>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter().for_each(|item| collect(item, named)),
        Value::Object(object) => {
            for (key, value) in object {
                let items = || value.as_array().into_iter().flatten();
                let texts = |path: &'static str| items().filter_map(move |item| item.pointer(path)?.as_str());
                match key.as_str() {
                    "containers" | "initContainers" | "ephemeralContainers" => named.extend(texts("/image")),
                    "containerStatuses" | "initContainerStatuses" | "ephemeralContainerStatuses" => {
                        named.extend(texts("/image").chain(texts("/imageID")));
                    }
                    "volumes" => named.extend(texts("/image/reference")),
                    // In the status of a node: all images that it has pulled.
                    "images" => {
                        let pulled = items().filter_map(|item| item.get("names")?.as_array()).flatten();
                        named.extend(pulled.filter_map(Value::as_str).filter(|name| !name.contains("<none>")));
                    }
                    _ => {}
                }
                collect(value, named);
            }
        }
    }
}

/// How many of these references are to an image that the plan has read. A reference without a registry counts as one to
/// the registry of the account `own`.
#[must_use]
pub fn found_in<'a>(plan: &Plan, own: &AccountId, images: impl Iterator<Item = &'a str>) -> usize {
    let mut digests = HashSet::new();
    let mut tags = HashSet::new();
    for RegistryPlan { place, index_pulls: _, repositories, missing: _ } in &plan.registries {
        for repository in repositories.iter().flatten() {
            // These references count as usage, and the plan lists every image in use.
            let held = repository.decided.iter().flat_map(|decided| decided.held.iter().chain(&decided.also_in_use));
            for HeldImage { image_digest, image_tags, .. } in held {
                digests.insert(*image_digest);
                let name = &repository.repository_name;
                tags.extend(image_tags.iter().map(|tag| (&place.account, name, &**tag)));
            }
        }
    }
    let has_tag = |account: &AccountId, name: &RepositoryName, tag: &str| tags.contains(&(account, name, tag));
    let is_found = |image: &&str| {
        let reference = image.parse::<ImageReference>().ok();
        let digest = image.parse().ok().or_else(|| reference.as_ref()?.image_digest());
        // A tag counts in every region of its registry, so any region works here.
        let reference = match reference {
            Some(ImageReference::Foreign(_)) => format!("{own}.dkr.ecr.us-east-1.amazonaws.com/{image}").parse().ok(),
            other => other,
        };
        let by_tag = match &reference {
            Some(ImageReference::Ecr(ecr)) => {
                ecr.used_tag().is_some_and(|tag| has_tag(&ecr.registry_id, &ecr.repository_name, tag))
            }
            Some(ImageReference::Foreign(_)) | None => false,
        };
        by_tag || digest.is_some_and(|digest: ImageDigest| digests.contains(&digest))
    };
    images.filter(is_found).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const REGISTRY: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com";

    fn list(text: &str) -> Vec<String> {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_iter().collect()
    }

    #[test]
    fn lists_have_images_in_every_form_that_tools_print() {
        for image in [
            "nginx",
            "nginx:1.27",
            "web/app:v7",
            "web/my__app-x.y:V_7",
            "quay.io/argocd:v2",
            "Registry.Example.com:5000/team/app",
            "localhost:5000/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "public.ecr.aws/nginx/nginx:1.27",
            &format!("{REGISTRY}/web/app:v7@{DIGEST}"),
            DIGEST,
        ] {
            assert_eq!(list(image), [image]);
            for scheme in SCHEMES {
                assert_eq!(list(&format!("{scheme}{image}")), [image]);
            }
        }
        assert_eq!(list("b:1 a # and no other\n\r\n\n# none\na\tc"), ["a", "b:1", "c"]);
    }

    #[test]
    fn the_output_of_a_failed_command_is_not_a_list() {
        for (text, expected) in [
            ("Unable to connect to the server: dial tcp: lookup example.com", "line 1: invalid image \"Unable\""),
            ("nginx\nError from server (Forbidden): pods is forbidden", "line 2: invalid image \"Error\""),
            ("error: You must be logged in to the server", "line 1: invalid image \"error:\""),
            ("bash: kubectl: command not found", "invalid image \"bash:\""),
            ("No resources found", "invalid image \"No\""),
            ("NAMESPACE   NAME   READY", "invalid image \"NAMESPACE\""),
            ("apiVersion: v1\nitems:", "invalid image \"apiVersion:\""),
            ("<html><head>", "invalid image \"<html><head>\""),
            ("nginx:", "invalid image \"nginx:\""),
            ("web//app", "invalid image \"web//app\""),
            ("${IMAGE}", "invalid image \"${IMAGE}\""),
            ("app@sha256:12", "invalid image \"app@sha256:12\""),
            ("https://example.com/app", "invalid image \"https://example.com/app\""),
            ("map[image:nginx]", "invalid image \"map[image:nginx]\""),
            (&format!("{REGISTRY}/App:v1"), "invalid ECR image"),
            ("", "it lists no image"),
            (" \n# nothing\n", "it lists no image"),
            ("{\"kind\":\"Status\",\"status\":\"Failure\"}", "it lists no image"),
            ("{\"kind\":\"List\",\"items\":[]}", "it lists no image"),
            ("{\"kind\":\"List\",\"items\":[", "it is not valid JSON"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn kubernetes_objects_have_images_in_specifications_and_statuses() {
        let pod = json!({
            "kind": "Pod",
            "metadata": { "annotations": { "image": "Not an image", "note": "containers" } },
            "spec": {
                "containers": [{ "name": "app", "image": "a:1", "env": [{ "name": "image", "value": "No Image" }] }],
                "initContainers": [{ "image": "b:1" }, { "name": "without" }],
                "ephemeralContainers": [{ "image": "c:1" }],
                "volumes": [{ "image": { "reference": "d:1" } }, { "configMap": { "name": "x" } }],
            },
            "status": {
                "containerStatuses": [
                    { "image": "a:1", "imageID": format!("docker-pullable://{REGISTRY}/app@{DIGEST}") },
                    { "image": "waiting:1", "imageID": "" },
                ],
                "initContainerStatuses": [{ "image": "b:1", "imageID": DIGEST }],
            },
        });
        let cron_job = json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": { "spec": {
            "containers": [{ "image": "e:1" }] } } } } } });
        let node = json!({ "kind": "Node", "status": { "images": [
            { "names": [format!("f@{DIGEST}"), "f:1"] }, { "names": ["<none>@<none>", "<none>:<none>"] }, {} ] } });
        let all = json!({ "kind": "List", "items": [pod, cron_job, node] });
        let mut expected = ["a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "waiting:1", DIGEST].map(str::to_owned).to_vec();
        expected.extend([format!("{REGISTRY}/app@{DIGEST}"), format!("f@{DIGEST}")]);
        expected.sort();
        assert_eq!(list(&all.to_string()), expected);
        let broken = all.to_string().replace("\"e:1\"", "\"e: 1\"");
        assert!(read(&broken).unwrap_err().to_string().contains("invalid image \"e: 1\""));
    }
}
