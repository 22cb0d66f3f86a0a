//! Bounds the size of answers with manifests. A manifest may have 4 MiB and appears once for each tag of its image, and
//! nothing shows its size beforehand. An answer that announces too many bytes is dropped before it is read. Its images
//! are then requested in smaller parts, one large answer at a time in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ecr::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecr::error::BoxError;

/// The maximum size of an answer beside many others. A hundred ordinary indexes have half of that.
pub(super) const SMALL_ANSWER: u64 = 2 << 20;
/// The maximum size of an answer that comes alone. Memory contains it about three times: as received, as text, and as
/// parsed.
pub(super) const LARGE_ANSWER: u64 = 32 << 20;
/// The same for a single image, which can't be split: 4 MiB for each of 20 tags, with escaped quotes.
pub(super) const LARGEST_ANSWER: u64 = 96 << 20;

/// Drops an answer that announces more bytes than this. ECR announces the length of all its answers. An answer without
/// a length is read at any size.
#[derive(Clone, Debug)]
pub(super) struct AtMost {
    pub(super) most: u64,
    /// The length of the last answer.
    pub(super) announced: Arc<AtomicU64>,
}

impl Intercept for AtMost {
    fn name(&self) -> &'static str {
        "AtMost"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let announced = context.response().body().content_length().unwrap_or(0);
        self.announced.store(announced, Ordering::Relaxed);
        if announced > self.most {
            return Err(format!("the answer has {announced} bytes, more than {}", self.most).into());
        }
        Ok(())
    }
}

/// The average bytes per image in the last answer; 0 if unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BytesPerImage(u64);

impl BytesPerImage {
    /// The average of an answer.
    pub(super) fn in_answer(bytes: u64, images: usize) -> Self {
        Self(bytes.div_ceil(images.max(1) as u64))
    }

    /// The expected bytes of this number of images.
    pub(super) fn of(self, images: usize) -> u64 {
        self.0.saturating_mul(images as u64)
    }

    /// The number of images that fit into this number of bytes, at least one.
    pub(super) fn images_in(self, bytes: u64) -> usize {
        bytes.checked_div(self.0).map_or(usize::MAX, |images| usize::try_from(images).unwrap_or(usize::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_images_are_asked_for_as_an_answer_may_hold() {
        assert_eq!(BytesPerImage::default().images_in(LARGE_ANSWER), usize::MAX, "nothing is known yet");
        for (bytes, images, expected) in
            [(100 << 20, 100, 32), (400 << 20, 100, 8), (80 << 20, 1, 1), (1_000, 100, 3_355_443)]
        {
            assert_eq!(BytesPerImage::in_answer(bytes, images).images_in(LARGE_ANSWER), expected, "{bytes}, {images}");
        }
    }
}
