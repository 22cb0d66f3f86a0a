use super::*;

const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

fn file(change: impl FnOnce(&mut Value)) -> Result<SavedPlan, String> {
    let image = serde_json::json!({
        "imageDigest": DIGEST, "imageTags": ["b", "a"], "imagePushedAt": "2025-06-01T08:00:00.123456789Z",
        "imageSizeInBytes": 5, "action": "archive", "reason": "for the reader",
    });
    let mut value = serde_json::json!({
        "schemaVersion": 1, "createdAt": "2026-01-01T00:00:00Z", "createdBy": "ecr-cleanup 0.1.0",
        "account": "123456789012", "settings": { "imagesToKeep": 5 },
        "regions": [{ "region": "us-west-2", "repositories": [{ "repositoryName": "app", "images": [image] }] }],
    });
    change(&mut value);
    SavedPlan::parse(&value.to_string())
}

fn file_text() -> String {
    let mut text = String::new();
    file(|value| text = value.to_string()).unwrap();
    text
}

#[test]
fn a_plan_is_read_to_the_nanosecond_with_tags_in_any_order() {
    let SavedPlan { reviewed, settings, .. } = file(|_| {}).unwrap();
    let place = Place::new("123456789012".parse().unwrap(), "us-west-2".parse().unwrap());
    let of_app = reviewed.of_repository(&place, &"app".parse().unwrap()).unwrap();
    let image = &of_app[&DIGEST.parse().unwrap()];
    assert_eq!(*image.image_tags, [Box::<str>::from("a"), Box::from("b")]);
    assert_eq!(image.image_pushed_at.unwrap().timestamp_subsec_nanos(), 123_456_789);
    assert_eq!((image.action, settings["imagesToKeep"].as_u64()), (Action::Archive, Some(5)));
}

#[test]
fn invalid_plans_are_rejected() {
    let image = |value: &mut Value| value["regions"][0]["repositories"][0]["images"][0].take();
    for (expected, change) in [
        ("schema version 7", (|value| value["schemaVersion"] = 7.into()) as fn(&mut Value)),
        ("has no schemaVersion", |value| value["schemaVersion"] = "1".into()),
        ("unknown field `force`", |value| value["force"] = true.into()),
        ("unknown variant `keep`", |value| {
            value["regions"][0]["repositories"][0]["images"][0]["action"] = "keep".into();
        }),
        ("missing field `settings`", |value| _ = value.as_object_mut().unwrap().remove("settings")),
        ("is not a Region code", |value| value["regions"][0]["region"] = "mars".into()),
    ] {
        let error = file(change).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let twice = file(|value| {
        let image = image(value);
        value["regions"][0]["repositories"][0]["images"] = vec![image.clone(), image].into();
    });
    assert!(twice.unwrap_err().contains("twice"));
}

#[test]
fn a_plan_with_a_duplicate_key_is_rejected() {
    let once = file_text();
    SavedPlan::parse(&once).unwrap();
    for (once_only, twice, named) in [
        ("\"regions\":", "\"regions\":[],\"regions\":", "regions"),
        ("\"imagesToKeep\":5", "\"imagesToKeep\":9,\"imagesToKeep\":5", "settings.imagesToKeep"),
        ("\"imageTags\":", "\"imageTags\":[],\"imageTags\":", "regions[0].repositories[0].images[0].imageTags"),
    ] {
        let error = SavedPlan::parse(&once.replace(once_only, twice)).unwrap_err();
        assert!(error.contains(&format!("duplicate key `{named}`")), "{named}: {error}");
    }
}
