//! The stored form of objects: JSON in gzip, with a version. `zcat OBJECT | jq` shows it.

use std::io::{BufWriter, IntoInnerError, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{FORMAT, Kind};

/// The maximum size of an object, packed or not. 25 million images are some 170 registries.
const MOST_BYTES: u64 = 1 << 30;

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its content.
    pub content: T,
    /// Whether a newer version of this program wrote it, in a form that this one does not know in full. Such an object is
    /// not written again, since that would lose the data that only the newer version understands.
    pub is_newer: bool,
}

/// Why an object can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// It is not gzip, or incomplete.
    #[error("the object is not complete gzip data ({0})")]
    NotGzip(String),
    /// It is larger than any that this program writes.
    #[error("the object has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// It is not JSON of this form.
    #[error("the object is not valid JSON ({0})")]
    NotJson(String),
    /// Its kind does not match its key.
    #[error("the object contains `{0}`, which does not match its key")]
    AnotherKind(String),
    /// A newer version wrote it, in a form that this one can't read.
    #[error("format version {0} needs a newer version of ecr-cleanup")]
    TooNew(u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    format: u32,
    kind: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a, T> {
    format: u32,
    kind: &'static str,
    written_by: &'static str,
    content: &'a T,
}

/// An object's bytes.
///
/// # Errors
/// None that its own values could cause.
pub fn write<T: Serialize>(kind: Kind, content: &T) -> std::io::Result<Vec<u8>> {
    const WRITTEN_BY: &str = concat!("ecr-cleanup ", env!("CARGO_PKG_VERSION"));
    // The same content has the same bytes, because they contain no time.
    let gzip = GzEncoder::new(Vec::new(), Compression::default());
    // The serializer writes JSON in small pieces.
    let mut text = BufWriter::with_capacity(1 << 16, gzip);
    let whole = Whole { format: FORMAT, kind: kind.as_str(), written_by: WRITTEN_BY, content };
    serde_json::to_writer(&mut text, &whole)?;
    text.write_all(b"\n")?;
    text.into_inner().map_err(IntoInnerError::into_error)?.finish()
}

/// A text in gzip.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text)?;
    gzip.finish()
}

/// Values as JSON lines in gzip.
///
/// # Errors
/// None that its own values could cause.
pub fn pack_lines(rows: impl Iterator<Item = impl Serialize>) -> std::io::Result<Vec<u8>> {
    let gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut text = BufWriter::with_capacity(1 << 16, gzip);
    for row in rows {
        serde_json::to_writer(&mut text, &row)?;
        text.write_all(b"\n")?;
    }
    text.into_inner().map_err(IntoInnerError::into_error)?.finish()
}

/// The text of an object.
///
/// # Errors
/// When it is not complete gzip, or too large.
pub fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(MOST_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| Damaged::NotGzip(error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Damaged::TooLarge);
    }
    Ok(text)
}

/// Reads an object's bytes. It ignores members that this version does not know.
///
/// # Errors
/// When they are damaged, or of a version that can't be read.
pub fn read<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<Stored<T>, Damaged> {
    let text = unpack(bytes)?;
    let not_json = |error: serde_json::Error| Damaged::NotJson(error.to_string());
    let Envelope { format, kind: named, content } = serde_json::from_slice(&text).map_err(not_json)?;
    if named != kind.as_str() {
        return Err(Damaged::AnotherKind(named));
    }
    let is_newer = format > FORMAT;
    let content = serde_json::from_str(content.get());
    let content = content.map_err(|error| if is_newer { Damaged::TooNew(format) } else { not_json(error) })?;
    Ok(Stored { content, is_newer })
}
