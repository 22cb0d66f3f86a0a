//! Pages of listings with AWS's rules: a small default size, a maximum size, and a token that fits only its own request.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::fault::Paging;
use crate::request::ServiceError;

/// An internal parameter that no client sends: the [`Paging`] of the request.
pub(crate) const PAGING: &str = "simulated:paging";

/// The limits of a listing.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) default: usize,
    pub(crate) max: usize,
    /// The error code for an invalid page size or token.
    pub(crate) error: &'static str,
}

/// One page of `items`, and the token of the next page. A token remembers the items before its page, so an item that is
/// added or deleted between two calls moves no other item from page to page.
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

/// The end of a token that leads to the same page again.
const AGAIN: char = '~';

/// The number of items before a page that its token remembers. The page begins after the last of them that still exists.
const REMEMBERED: usize = 16;

fn key_of(item: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// The start of a page: its index, and the keys of the items just before it.
fn place_of<T: Hash>(items: &[T], start: usize) -> String {
    let before = items[..start].iter().rev().take(REMEMBERED).map(|item| format!(".{}", key_of(item)));
    format!("{start}{}", before.collect::<String>())
}

fn start_after<T: Hash>(items: &[T], place: &str) -> Option<usize> {
    let mut parts = place.split('.');
    let start: usize = parts.next()?.parse().ok()?;
    let remembered: Vec<&str> = parts.collect();
    let is_the_last = |item: &T| remembered.first().is_none_or(|last| *last == key_of(item));
    // If the item before the page is still there, nothing has moved.
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

/// The answer of a listing. Without a token, it is the last page.
pub(crate) fn listing(name: &str, items: Vec<impl Into<Value>>, next: Option<String>) -> Value {
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    let mut listing = json!({ name: items });
    if let Some(next) = next {
        listing["nextToken"] = next.into();
    }
    listing
}

/// A hash of the request without its page size and token. A token fits only requests with the same hash.
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
