//! Pages as AWS's services cut them: a small default, a maximum, and a token that fits its request alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::fault::Paging;
use crate::request::ServiceError;

/// A parameter that no client sends: how the request is to be paged.
pub(crate) const PAGING: &str = "simulated:paging";

/// The limits of a listing.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) default: usize,
    pub(crate) max: usize,
    /// The code of the error for a page size or a token that can't be used.
    pub(crate) error: &'static str,
}

/// One page of `items`, and the token of the next. What comes or goes between two pages moves nothing else from one to the
/// other: a token remembers after which items its page begins.
pub(crate) fn page<T: Clone + Hash>(
    request: &Value,
    items: &[T],
    limits: Limits,
) -> Result<(Vec<T>, Option<String>), ServiceError> {
    let invalid = |message: String| ServiceError::new(400, limits.error, &message);
    let field =
        |name: &str| request.get(name).or_else(|| request.get(capitalized(name))).filter(|value| !value.is_null());
    let size = match field("maxResults") {
        None => limits.default,
        Some(value) => value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (1..=limits.max).contains(size))
            .ok_or_else(|| invalid(format!("maxResults must be between 1 and {}", limits.max)))?,
    };
    let fingerprint = fingerprint(request);
    let start = match field("nextToken") {
        None => 0,
        Some(token) => token
            .as_str()
            .map(|token| token.trim_end_matches(AGAIN))
            .and_then(|token| token.split_once('-'))
            .filter(|(of, _)| *of == fingerprint)
            .and_then(|(_, place)| start_after(items, place))
            .ok_or_else(|| invalid("the token is not one of this request's".to_owned()))?,
    };
    let end = items.len().min(start + size);
    let next = (end < items.len()).then(|| format!("{fingerprint}-{}", place_of(items, end)));
    let again = Some(format!("{fingerprint}-{}{AGAIN}", place_of(items, start)));
    let (end, next) = match paging(request) {
        None => (end, next),
        Some(Paging::Twice) => (end, again),
        Some(Paging::AfterAnEmptyOne) => (start, again),
    };
    Ok((items.get(start..end).unwrap_or_default().to_vec(), next))
}

/// What makes the token of the same page another token.
const AGAIN: char = '~';

/// The items before a page that its token remembers: the last that is still there tells where the page begins.
const REMEMBERED: usize = 16;

fn key_of(item: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// A place among the items, and what is just before it.
fn place_of<T: Hash>(items: &[T], start: usize) -> String {
    let before = items[..start].iter().rev().take(REMEMBERED).map(|item| format!(".{}", key_of(item)));
    format!("{start}{}", before.collect::<String>())
}

fn start_after<T: Hash>(items: &[T], place: &str) -> Option<usize> {
    let mut parts = place.split('.');
    let start: usize = parts.next()?.parse().ok()?;
    let remembered: Vec<&str> = parts.collect();
    let is_the_last = |item: &T| remembered.first().is_none_or(|last| *last == key_of(item));
    // Where nothing changed there is nothing to look for.
    if start == 0 || items.get(start - 1).is_some_and(is_the_last) {
        return Some(start);
    }
    let keys: Vec<String> = items.iter().map(key_of).collect();
    let found = remembered.iter().find_map(|remembered| keys.iter().position(|key| key == remembered));
    Some(found.map_or(start.min(items.len()), |found| found + 1))
}

fn paging(request: &Value) -> Option<Paging> {
    match request.get(PAGING)?.as_str()? {
        "twice" => Some(Paging::Twice),
        _ => Some(Paging::AfterAnEmptyOne),
    }
}

impl Paging {
    /// The value of the parameter.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Twice => "twice",
            Self::AfterAnEmptyOne => "afterAnEmptyOne",
        }
    }
}

/// The answer of a listing; without a token it is the last page.
pub(crate) fn listing(name: &str, items: Vec<impl Into<Value>>, next: Option<String>) -> Value {
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    let mut listing = json!({ name: items });
    if let Some(next) = next {
        listing["nextToken"] = next.into();
    }
    listing
}

/// A token is refused when anything but the page's size changes.
fn fingerprint(request: &Value) -> String {
    let mut request = request.clone();
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|name, _| !["nexttoken", "maxresults", PAGING].contains(&name.to_ascii_lowercase().as_str()));
    }
    let mut hasher = DefaultHasher::new();
    request.to_string().hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

fn capitalized(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}
