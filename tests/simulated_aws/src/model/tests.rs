use serde_json::json;

use super::member::{Change, Variation, variations};
use super::*;

fn request(operation: &str, body: Value) -> Request {
    let (service, action) = operation.split_once(':').unwrap();
    let place = || "somewhere".to_owned();
    Request {
        service: service.to_owned(),
        action: action.to_owned(),
        account: place(),
        region: place(),
        body,
        payload: hyper::body::Bytes::new(),
    }
}

fn asked(operation: &str, body: Value, answer: Value) -> String {
    complaint(&request(operation, body), &Ok(answer)).unwrap_or_default()
}

fn answered(operation: &str, answer: Value) -> String {
    complaint(&request(operation, Value::Null), &Ok(answer)).unwrap_or_default()
}

#[test]
fn the_table_is_whole() {
    let operations = table()["operations"].as_object().map(Map::len);
    assert!(operations.is_some_and(|count| count > 40));
    let structures = table()["structures"].as_object().into_iter().flatten();
    let named = structures.flat_map(|(_, members)| members.as_object().into_iter().flatten());
    for (member, facts) in named {
        let of = facts.get("of").or_else(|| facts["each"].get("of"));
        assert!(of.and_then(Value::as_str).is_none_or(|of| members(of).is_some()), "{member}: {of:?}");
    }
}

#[test]
fn what_aws_answers_is_not_complained_of() {
    let image = json!({ "imageDigest": "sha256:1", "imageTags": ["v1"], "imagePushedAt": 1_500_000_000.5,
        "imageSizeInBytes": 1, "imageStatus": "ACTIVE", "lastRecordedPullTime": null });
    assert_eq!(answered("ecr:DescribeImages", json!({ "imageDetails": [image] })), "");
    assert_eq!(answered("ecr:DescribeImages", json!({})), "");
    let failure = json!({ "imageId": { "imageTag": "v1" }, "failureCode": "ImageNotFound" });
    // The model's minimum length of this list is 1.
    assert_eq!(answered("ecr:BatchDeleteImage", json!({ "imageIds": [], "failures": [failure] })), "");
    let alias = json!({ "Name": "live", "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.1 } } });
    assert_eq!(answered("lambda:ListAliases", json!({ "Aliases": [alias] })), "");
}

#[test]
fn each_deviation_is_told_with_its_place() {
    let images = |image: Value| answered("ecr:DescribeImages", json!({ "imageDetails": [{}, image] }));
    let unknown = "ecr:DescribeImages: imageDetails[1].tags: ecr:ImageDetail has no such member";
    assert_eq!(images(json!({ "tags": [] })), unknown);
    let wrong = "ecr:DescribeImages: imageDetails[1].imageTags[0]: 1 is not of type string";
    assert_eq!(images(json!({ "imageTags": [1] })), wrong);
    let status = "ecr:DescribeImages: imageDetails[1].imageStatus: \"GONE\" is not in the model's enum";
    assert_eq!(images(json!({ "imageStatus": "GONE" })), status);
    let fraction = "ecr:DescribeImages: imageDetails[1].imageSizeInBytes: 1.5 is not of type integer";
    assert_eq!(images(json!({ "imageSizeInBytes": 1.5 })), fraction);
    let referrers = json!({ "referrers": [{ "digest": "sha256:1", "mediaType": "text/plain", "size": null }] });
    let required = "ecr:ListImageReferrers: referrers[0].size: is required";
    assert_eq!(answered("ecr:ListImageReferrers", referrers), required);
    let weights = json!({ "Aliases": [{ "RoutingConfig": { "AdditionalVersionWeights": { "2": "much" } } }] });
    let weight =
        "lambda:ListAliases: Aliases[0].RoutingConfig.AdditionalVersionWeights{2}: \"much\" is not of type float";
    assert_eq!(answered("lambda:ListAliases", weights), weight);
    assert_eq!(answered("ecr:DescribeImages", json!([])), "ecr:DescribeImages: [] is not a structure");
    let unknown = "ecr:MakeCoffee: the models have no such operation";
    assert_eq!(answered("ecr:MakeCoffee", json!({})), unknown);
}

#[test]
fn a_page_holds_no_more_than_was_asked_for_or_than_there_may_be() {
    let images = |count: usize| json!({ "imageDetails": vec![json!({}); count] });
    let of_app = |most: Value| json!({ "repositoryName": "app", "maxResults": most });
    assert_eq!(asked("ecr:DescribeImages", of_app(json!(2)), images(2)), "");
    let more = "ecr:DescribeImages: the page has 3 items, more than 2";
    assert_eq!(asked("ecr:DescribeImages", of_app(json!(2)), images(3)), more);
    let most = "ecr:DescribeImages: the page has 1001 items, more than 1000";
    assert_eq!(asked("ecr:DescribeImages", of_app(Value::Null), images(1_001)), most);
}

#[test]
fn a_request_keeps_to_its_model_too() {
    let ids = vec![json!({ "imageTag": "v1" }); 101];
    let long = "ecr:BatchDeleteImage: the request has 101 imageIds, more than 100";
    let request = json!({ "repositoryName": "app", "imageIds": ids });
    assert_eq!(asked("ecr:BatchDeleteImage", request, json!({})), long);
}

#[test]
fn only_errors_that_are_declared_are_answered() {
    let told = |status: u16, code: &str| {
        let error = ServiceError::new(status, code, "it says no");
        complaint(&request("ecs:DescribeTasks", json!({})), &Err(error)).unwrap_or_default()
    };
    assert_eq!(told(400, "ClusterNotFoundException"), "");
    assert_eq!(told(400, "ThrottlingException"), "");
    let undeclared = "ecs:DescribeTasks: the model has no error ServiceNotFoundException with status 400";
    assert_eq!(told(400, "ServiceNotFoundException"), undeclared);
    assert!(told(404, "ClusterNotFoundException").ends_with("ClusterNotFoundException with status 404"));
    assert!(errors_of("lambda:GetFunction").contains(&("ResourceNotFoundException".to_owned(), 404)));
    assert!(errors_of("ecr:MakeCoffee").is_empty());
}

#[test]
fn a_time_is_as_its_protocol_writes_it() {
    let text = json!({ "imageDetails": [{ "imagePushedAt": "2026-01-01T00:00:00Z" }] });
    assert_ne!(answered("ecr:DescribeImages", text), "");
    let mapping = |time: Value| json!({ "EventSourceMappings": [{ "LastModified": time }] });
    assert_eq!(answered("lambda:ListEventSourceMappings", mapping(json!(1_500_000_000))), "");
    assert_ne!(answered("lambda:ListEventSourceMappings", mapping(json!("2026-01-01"))), "");
    // In the model of a function, this time is a text.
    let function = json!({ "Functions": [{ "LastModified": "2026-01-01T00:00:00.000+0000" }] });
    assert_eq!(answered("lambda:ListFunctions", function), "");
}

#[test]
fn an_answer_is_varied_wherever_its_model_allows_for_it() {
    let answer = json!({ "nextToken": "2", "imageDetails": [
        { "imageTags": ["v1"], "imageSizeInBytes": 1 }, {}, { "imageStatus": "ACTIVE" }] });
    let told: Vec<(String, Change)> = variations("ecr:DescribeImages", &answer)
        .into_iter()
        .filter(|variation| variation.only.is_none())
        .map(|variation| (variation.path, variation.change))
        .collect();
    let of_image = |member: &str, change| (format!("imageDetails[].{member}"), change);
    // An empty listing, and a listing without its token, are other answers, and not incomplete ones.
    let expected = [
        ("imageDetails".to_owned(), Change::Absent),
        of_image("imageSizeInBytes", Change::Absent),
        of_image("imageStatus", Change::Absent),
        of_image("imageStatus", Change::Empty),
        of_image("imageStatus", Change::UnknownEnum),
        of_image("imageTags", Change::Absent),
        of_image("imageTags", Change::Empty),
    ];
    assert_eq!(told, expected);
    let referrers = json!({ "referrers": [{ "digest": "sha256:1", "mediaType": "text/plain", "size": 1 }] });
    let required = variations("ecr:ListImageReferrers", &referrers);
    assert!(!required.iter().any(|variation| variation.path.ends_with("digest")), "{required:?}");
    assert!(variations("ecr:MakeCoffee", &answer).is_empty());
}

#[test]
fn a_member_is_changed_everywhere_or_at_one_place() {
    let answer = json!({ "imageDetails": [{ "imageTags": ["v1"] }, {}, { "imageTags": ["v2"] }] });
    let varied = |path: &str, change: Change, only: Option<usize>| {
        Variation { path: path.to_owned(), change, only }.applied(answer.clone())
    };
    let tags = "imageDetails[].imageTags";
    let absent = json!({ "imageDetails": [{}, {}, {}] });
    assert_eq!(varied(tags, Change::Absent, None), Some(absent));
    let one = json!({ "imageDetails": [{ "imageTags": ["v1"] }, {}, {}] });
    assert_eq!(varied(tags, Change::Absent, Some(5)), Some(one));
    assert_eq!(varied(tags, Change::Absent, Some(1)), None);
    let empty = json!({ "imageDetails": [{ "imageTags": [] }, {}, { "imageTags": [] }] });
    assert_eq!(varied(tags, Change::Empty, None), Some(empty));
    assert_eq!(varied("nextToken", Change::Absent, None), None);
    let mut weights = json!({ "weights": { "1": { "of": "x" }, "2": { "of": "y" } }, "next": null, "zero": 0 });
    let of = |path: &str, change| Variation { path: path.to_owned(), change, only: None };
    weights = of("weights{}.of", Change::Empty).applied(weights).unwrap();
    assert_eq!(weights["weights"], json!({ "1": { "of": "" }, "2": { "of": "" } }));
    assert_eq!(of("weights{}.of", Change::Empty).applied(weights.clone()), None);
    assert_eq!(of("next", Change::Absent).applied(weights.clone()), None);
    assert_eq!(of("zero", Change::Empty).applied(weights), None);
}
