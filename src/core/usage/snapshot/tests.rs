use super::*;
use crate::usage::HolderKind;

const HOST: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
const OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
const NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";

fn holder(name: &str) -> Arc<Holder> {
    Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: name.into() })
}

/// A digest and tags.
type Named = (ImageDigest, Vec<Box<str>>);

fn image(digest: &str, tags: &[&str]) -> Named {
    (digest.parse().unwrap(), tags.iter().map(|tag| Box::from(*tag)).collect())
}

fn protects(usage: &UsageSnapshot, account: &str, repository: &str, (digest, tags): &Named) -> bool {
    usage.of_repository(&account.parse().unwrap(), &repository.parse().unwrap()).holder(*digest, tags).is_some()
}

#[test]
fn a_moved_tag_protects_the_old_image_and_the_new_one() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder("t"));
    assert!(protects(&usage, "123456789012", "app", &image(OLD, &[])));
    assert!(protects(&usage, "123456789012", "app", &image(NEW, &["other", "v1"])));
}

#[test]
fn a_tag_protects_only_in_its_registry_and_repository() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("{HOST}/app:v1")), None, &holder("t"));
    assert!(!protects(&usage, "123456789012", "app2", &image(NEW, &["v1"])));
    assert!(!protects(&usage, "210987654321", "app", &image(NEW, &["v1"])));
    assert!(!protects(&usage, "123456789012", "app", &image(NEW, &["v10"])));
}

#[test]
fn a_digest_protects_everywhere_including_one_that_a_proxy_serves() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("mirror.example.com/app@{NEW}")), None, &holder("t"));
    usage.add(Some("nginx:1"), Some(OLD), &holder("t"));
    for digest in [OLD, NEW] {
        assert!(protects(&usage, "210987654321", "copy/of-app", &image(digest, &[])), "{digest}");
    }
}

#[test]
fn an_unreadable_reference_withholds_its_repository_or_is_unlocated() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("{HOST}/app:not a tag")), None, &holder("t"));
    usage.add(Some(&format!("{HOST}/web:v1")), Some("sha512:00"), &holder("t"));
    usage.add(Some(HOST), None, &holder("t"));
    let account = "123456789012".parse().unwrap();
    for (repository, withheld) in [("app", true), ("web", true), ("db", false)] {
        let usage = usage.of_repository(&account, &repository.parse().unwrap());
        assert_eq!(usage.is_withheld(), withheld, "{repository}");
    }
    assert_eq!(usage.unlocated(&account).count(), 1);
    assert!(protects(&usage, "123456789012", "web", &image(NEW, &["v1"])), "the tag counts nevertheless");
}

#[test]
fn an_unreadable_reference_concerns_only_the_registry_of_its_host() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("{HOST}/app:${{TAG}}")), None, &holder("t"));
    usage.add(Some(&format!("{HOST}/${{REPOSITORY}}:v1")), None, &holder("t"));
    usage.add(Some(&format!("{HOST}/App:v1")), None, &holder("t"));
    usage.add(Some("${ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/anyones:v1"), None, &holder("t"));
    let mut merged = UsageSnapshot::default();
    merged.merge(usage);
    let unreadable = |account: &str| {
        let account = account.parse().unwrap();
        let withheld: Vec<&str> = merged.withheld(&account).map(|(repository, _)| repository.as_str()).collect();
        (withheld, merged.unlocated(&account).count(), merged.impossible(&account).count())
    };
    // The repository without an account comes first.
    assert_eq!(unreadable("123456789012"), (vec!["anyones", "app"], 1, 1));
    assert_eq!(unreadable("210987654321"), (vec!["anyones"], 0, 0));
    let is_withheld = |account: &str, repository: &str| {
        merged.of_repository(&account.parse().unwrap(), &repository.parse().unwrap()).is_withheld()
    };
    assert!(is_withheld("123456789012", "app") && !is_withheld("210987654321", "app"));
    assert!(is_withheld("123456789012", "anyones") && is_withheld("210987654321", "anyones"));
    let read_back: UsageSnapshot = serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap();
    assert_eq!(read_back, merged);
}

#[test]
fn a_digest_alone_protects_and_is_not_a_repository() {
    let mut usage = UsageSnapshot::default();
    let registry = "123456789012".parse().unwrap();
    usage.add(Some(OLD), None, &holder("t"));
    usage.hold_in_registry(&registry, OLD, &holder("t"));
    assert!(protects(&usage, "210987654321", "app", &image(OLD, &[])));
    assert!(usage.tags.is_empty());
}

#[test]
fn all_users_of_an_image_are_found_and_each_only_for_its_resolved_digest() {
    let mut usage = UsageSnapshot::default();
    usage.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder("before the tag moved"));
    let mut later = UsageSnapshot::default();
    later.add(Some(&format!("{HOST}/app:v1")), Some(NEW), &holder("since"));
    later.add(Some(&format!("mirror.example.com/app@{OLD}")), None, &holder("by a mirror"));
    usage.merge(later);
    let (account, repository) = ("123456789012".parse().unwrap(), "app".parse().unwrap());
    let users = |digest: &str, tags: &[&str]| -> Vec<String> {
        let (digest, tags) = image(digest, tags);
        let users = usage.users((&account, &repository), digest, &tags);
        users.keys().map(|holder| holder.name.to_string()).collect()
    };
    assert_eq!(users(OLD, &[]), ["before the tag moved", "by a mirror"]);
    assert_eq!(users(NEW, &[]), ["since"]);
    assert_eq!(users(NEW, &["v1"]), ["before the tag moved", "since"], "both would start it now");
    let reference = format!("{HOST}/app:v1").parse().unwrap();
    assert_eq!(usage.digests_of(&reference).count(), 2);
    assert_eq!(usage.references().len(), 2, "a resolved digest is not a reference of its own");
}

#[test]
fn the_first_holder_does_not_depend_on_the_order_of_the_responses() {
    for order in [["a", "b"], ["b", "a"]] {
        let mut usage = UsageSnapshot::default();
        for name in order {
            let mut one = UsageSnapshot::default();
            one.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder(name));
            usage.merge(one);
        }
        let of_repository = usage.of_repository(&"123456789012".parse().unwrap(), &"app".parse().unwrap());
        assert_eq!(&*of_repository.holder(image(OLD, &[]).0, &[]).unwrap().name, "a");
        assert_eq!(&*of_repository.holder(image(NEW, &[]).0, &["v1".into()]).unwrap().name, "a");
        assert_eq!(usage.references().values().next().unwrap().len(), 2);
    }
}
