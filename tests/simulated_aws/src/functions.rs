//! Lambda: <https://docs.aws.amazon.com/lambda/latest/api/>.

use std::collections::BTreeMap;
use std::hash::Hash;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::page::Limits;
use crate::request::{Request, ServiceError};
use crate::world::{Place, Region};

const INVALID: &str = "InvalidParameterValueException";
const PER_PAGE: usize = 50;
const LATEST: &str = "$LATEST";
const LATEST_PUBLISHED: &str = "$LATEST.PUBLISHED";

/// The state of a function.
#[derive(Default)]
pub(crate) struct StoredFunction {
    /// The image of each version as the developer wrote it, and with its resolved digest. Empty for package type Zip.
    versions: BTreeMap<String, (String, Option<String>)>,
    zip: bool,
    aliases: BTreeMap<String, (String, Vec<String>)>,
    /// `CodeSha256` by version, where a test sets another value than the digest of the resolved image.
    sums: BTreeMap<String, String>,
    on_capacity_provider: bool,
    /// Whether listings lack `$LATEST.PUBLISHED`.
    published_is_not_listed: bool,
}

impl StoredFunction {
    pub(crate) fn remove_version(&mut self, version: &str) -> bool {
        self.versions.remove(version).is_some()
    }
}

/// A Lambda function.
pub struct LambdaFunction {
    place: Place,
    arn: String,
}

impl Place {
    /// A function of package type Image.
    #[must_use]
    pub fn function(&self, name: &str, image: &str, resolved: Option<&str>) -> LambdaFunction {
        let function = self.add_function(name, false);
        function.set(LATEST, image, resolved);
        function
    }

    /// A function of package type Zip.
    pub fn zip_function(&self, name: &str) {
        _ = self.add_function(name, true);
    }

    fn add_function(&self, name: &str, zip: bool) -> LambdaFunction {
        let arn = format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account);
        let stored = StoredFunction { zip, ..StoredFunction::default() };
        self.update(|region| _ = region.functions.insert(arn.clone(), stored));
        LambdaFunction { place: self.clone(), arn }
    }
}

impl LambdaFunction {
    /// Publishes a version of this image and returns its number.
    pub fn publish(&self, image: &str, resolved: Option<&str>) -> String {
        let is_number = |version: &&String| version.parse::<u64>().is_ok();
        let number = self.update(|function| (function.versions.keys().filter(is_number).count() + 1).to_string());
        self.set(&number, image, resolved);
        number
    }

    /// Publishes `$LATEST.PUBLISHED` from this image, for the instances of a capacity provider.
    pub fn publish_latest(&self, image: &str, resolved: Option<&str>) {
        self.set(LATEST_PUBLISHED, image, resolved);
        self.update(|function| function.on_capacity_provider = true);
    }

    /// Makes listings lack `$LATEST.PUBLISHED`.
    pub fn hide_latest_published(&self) {
        self.update(|function| function.published_is_not_listed = true);
    }

    /// Sets `CodeSha256` of a version.
    pub fn set_code_sha256(&self, version: &str, sum: &str) {
        self.update(|function| _ = function.sums.insert(version.to_owned(), sum.to_owned()));
    }

    /// Deletes a version.
    pub fn delete_version(&self, version: &str) {
        self.update(|function| _ = function.remove_version(version));
    }

    /// Deletes the function.
    pub fn delete(&self) {
        self.place.update(|region| _ = region.functions.remove(&self.arn));
    }

    /// Creates an alias that routes to a version, and by weight to others.
    pub fn alias(&self, name: &str, version: &str, weighted: &[&str]) {
        let weighted = weighted.iter().map(|version| (*version).to_owned()).collect();
        self.update(|function| _ = function.aliases.insert(name.to_owned(), (version.to_owned(), weighted)));
    }

    /// Creates an event source mapping for the function with this qualifier.
    pub fn map_event_source(&self, qualifier: &str) {
        let arn = format!("{}:{qualifier}", self.arn);
        self.place.update(|region| region.event_source_mappings.push(arn));
    }

    /// Changes the image of `$LATEST`.
    pub fn update_code(&self, image: &str, resolved: Option<&str>) {
        self.set(LATEST, image, resolved);
    }

    fn set(&self, version: &str, image: &str, resolved: Option<&str>) {
        let code = (image.to_owned(), resolved.map(str::to_owned));
        self.update(|function| _ = function.versions.insert(version.to_owned(), code));
    }

    fn update<T>(&self, change: impl FnOnce(&mut StoredFunction) -> T) -> T {
        self.place.update(|region| change(region.functions.get_mut(&self.arn).expect("the function exists")))
    }
}

pub(crate) fn answer(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    match request.action.as_str() {
        "ListFunctions" => {
            let all = request.body["FunctionVersion"] == "ALL";
            let versions = region.functions.iter().flat_map(|(arn, function)| {
                // A function of package type Zip has the version $LATEST too.
                let zip = function.zip.then_some(LATEST);
                let versions = function.versions.keys().map(String::as_str).chain(zip);
                let is_listed = move |version: &&str| match *version {
                    LATEST => true,
                    LATEST_PUBLISHED => all && !function.published_is_not_listed,
                    _ => all,
                };
                versions.filter(is_listed).map(move |version| (arn, version))
            });
            page(request, "Functions", &versions.collect::<Vec<_>>(), |(arn, version)| {
                let mut listed = configuration(arn, version, &region.functions[arn]);
                if all {
                    listed["FunctionArn"] = format!("{arn}:{version}").into();
                }
                listed
            })
        }
        "ListEventSourceMappings" => page(
            request,
            "EventSourceMappings",
            &region.event_source_mappings,
            |arn| json!({ "UUID": arn, "FunctionArn": arn }),
        ),
        "ListVersionsByFunction" => {
            let (arn, function) = named(region, request)?;
            let versions: Vec<&String> = function.versions.keys().collect();
            page(request, "Versions", &versions, |version| configuration(arn, version, function))
        }
        "ListAliases" => {
            let (arn, function) = named(region, request)?;
            page(request, "Aliases", &function.aliases.iter().collect::<Vec<_>>(), |(name, (version, weighted))| {
                let weights: Map<String, Value> = weighted.iter().map(|it| (it.clone(), json!(0.1))).collect();
                let routing = json!({ "AdditionalVersionWeights": weights });
                json!({ "AliasArn": format!("{arn}:{name}"), "Name": name, "FunctionVersion": version, "RoutingConfig": routing })
            })
        }
        "GetFunction" => {
            let (arn, function) = named(region, request)?;
            let version = request.body["Qualifier"].as_str().unwrap_or(LATEST);
            let (image, resolved) = function.versions.get(version).ok_or_else(|| not_found(arn))?;
            let code = json!({ "RepositoryType": "ECR", "ImageUri": image, "ResolvedImageUri": resolved });
            Ok(json!({ "Configuration": configuration(arn, version, function), "Code": code }))
        }
        action => Err(ServiceError::new(404, "UnknownOperationException", action)),
    }
}

fn named<'a>(region: &'a Region, request: &Request) -> Result<(&'a str, &'a StoredFunction), ServiceError> {
    let name = request.text("FunctionName", INVALID)?;
    let by_name = || region.functions.iter().find(|(arn, _)| arn.rsplit(':').next() == Some(name));
    let found = region.functions.get_key_value(name).or_else(by_name);
    found.map(|(arn, function)| (arn.as_str(), function)).ok_or_else(|| not_found(name))
}

fn configuration(arn: &str, version: &str, function: &StoredFunction) -> Value {
    let package_type = if function.zip { "Zip" } else { "Image" };
    let name = arn.rsplit(':').next();
    let mut configuration =
        json!({ "FunctionName": name, "FunctionArn": arn, "Version": version, "PackageType": package_type });
    // For package type Image, Lambda returns the resolved digest without its algorithm.
    let resolved = function.versions.get(version).and_then(|(_, resolved)| resolved.as_deref());
    let digest = resolved.and_then(|image| image.rsplit_once("@sha256:")).map(|(_, digest)| digest);
    if let Some(sum) = function.sums.get(version).map(String::as_str).or(digest) {
        configuration["CodeSha256"] = sum.into();
    }
    // It changes with the function.
    let code = function.versions.get(version).map(|code| format!("{arn} {version} {code:?}")).unwrap_or_default();
    configuration["RevisionId"] = format!("{:x}", Sha256::digest(code)).into();
    if function.on_capacity_provider {
        let provider = json!({ "CapacityProviderArn": "arn:aws:lambda:us-west-2:123456789012:capacity-provider:one" });
        configuration["CapacityProviderConfig"] = json!({ "LambdaManagedInstancesCapacityProviderConfig": provider });
    }
    configuration
}

/// A page of a listing. Lambda returns at most 50 items, even if the request asks for more. Its token is called marker.
fn page<T: Clone + Hash>(
    request: &Request,
    name: &str,
    items: &[T],
    listed: impl Fn(T) -> Value,
) -> Result<Value, ServiceError> {
    let mut body = request.body.clone();
    if let Some(fields) = body.as_object_mut() {
        let size = fields.remove("MaxItems").and_then(|size| size.as_str()?.parse::<usize>().ok());
        fields.insert("maxResults".to_owned(), size.unwrap_or(PER_PAGE).min(PER_PAGE).into());
        let marker = fields.remove("Marker").unwrap_or_default();
        fields.insert("nextToken".to_owned(), marker);
    }
    let limits = Limits { default: PER_PAGE, max: PER_PAGE, error: INVALID };
    let (items, next) = crate::page::page(&body, items, limits)?;
    let mut page = json!({ name: items.into_iter().map(listed).collect::<Vec<_>>() });
    if let Some(next) = next {
        page["NextMarker"] = next.into();
    }
    Ok(page)
}

fn not_found(name: &str) -> ServiceError {
    ServiceError::new(404, "ResourceNotFoundException", &format!("Function not found: {name}"))
}
