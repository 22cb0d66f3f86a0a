//! Lambda: <https://docs.aws.amazon.com/lambda/latest/api/>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::page::Limits;
use crate::request::{Request, ServiceError};
use crate::world::{Place, Region};

const INVALID: &str = "InvalidParameterValueException";
const PER_PAGE: usize = 50;
const LATEST: &str = "$LATEST";

/// A function.
#[derive(Default)]
pub(crate) struct StoredFunction {
    /// The image of each version, as it was named and as it was resolved; none where the function is a zip.
    versions: BTreeMap<String, (String, Option<String>)>,
    zip: bool,
    aliases: BTreeMap<String, (String, Vec<String>)>,
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
        let number = self.update(|function| function.versions.len().to_string());
        self.set(&number, image, resolved);
        number
    }

    /// Makes an alias that routes to a version, and by weight to others.
    pub fn alias(&self, name: &str, version: &str, weighted: &[&str]) {
        let weighted = weighted.iter().map(|version| (*version).to_owned()).collect();
        self.update(|function| _ = function.aliases.insert(name.to_owned(), (version.to_owned(), weighted)));
    }

    /// Makes an event source mapping that names the function with this qualifier.
    pub fn map_event_source(&self, qualifier: &str) {
        let arn = format!("{}:{qualifier}", self.arn);
        self.place.update(|region| region.event_source_mappings.push(arn));
    }

    /// Changes what `$LATEST` runs.
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
            let functions = region.functions.iter().map(|(arn, function)| configuration(arn, LATEST, function));
            page(request, "Functions", &functions.collect::<Vec<_>>())
        }
        "ListEventSourceMappings" => {
            let mappings = region.event_source_mappings.iter().map(|arn| json!({ "UUID": arn, "FunctionArn": arn }));
            page(request, "EventSourceMappings", &mappings.collect::<Vec<_>>())
        }
        "ListVersionsByFunction" => {
            let (arn, function) = named(region, request)?;
            let versions = function.versions.keys().map(|version| configuration(arn, version, function));
            page(request, "Versions", &versions.collect::<Vec<_>>())
        }
        "ListAliases" => {
            let (arn, function) = named(region, request)?;
            let aliases = function.aliases.iter().map(|(name, (version, weighted))| {
                let weights: Map<String, Value> = weighted.iter().map(|it| (it.clone(), json!(0.1))).collect();
                let routing = json!({ "AdditionalVersionWeights": weights });
                json!({ "AliasArn": format!("{arn}:{name}"), "Name": name, "FunctionVersion": version, "RoutingConfig": routing })
            });
            page(request, "Aliases", &aliases.collect::<Vec<_>>())
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
    let mut functions = region.functions.iter();
    let found = functions.find(|(arn, _)| *arn == name || arn.rsplit(':').next() == Some(name));
    found.map(|(arn, function)| (arn.as_str(), function)).ok_or_else(|| not_found(name))
}

fn configuration(arn: &str, version: &str, function: &StoredFunction) -> Value {
    let package_type = if function.zip { "Zip" } else { "Image" };
    let name = arn.rsplit(':').next();
    json!({ "FunctionName": name, "FunctionArn": arn, "Version": version, "PackageType": package_type })
}

/// Lambda's pages hold 50 at most, whatever is asked for, and go on by a marker.
fn page(request: &Request, name: &str, items: &[Value]) -> Result<Value, ServiceError> {
    let mut body = request.body.clone();
    if let Some(fields) = body.as_object_mut() {
        let size = fields.remove("MaxItems").and_then(|size| size.as_str()?.parse::<usize>().ok());
        fields.insert("maxResults".to_owned(), size.unwrap_or(PER_PAGE).min(PER_PAGE).into());
        let marker = fields.remove("Marker").unwrap_or_default();
        fields.insert("nextToken".to_owned(), marker);
    }
    let limits = Limits { default: PER_PAGE, max: PER_PAGE, error: INVALID };
    let (items, next) = crate::page::page(&body, items, limits)?;
    let mut page = json!({ name: items });
    if let Some(next) = next {
        page["NextMarker"] = next.into();
    }
    Ok(page)
}

fn not_found(name: &str) -> ServiceError {
    ServiceError::new(404, "ResourceNotFoundException", &format!("Function not found: {name}"))
}
