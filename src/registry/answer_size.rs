//! How much an answer with manifests may hold. A manifest may have 4 MiB and comes once for each of its image's tags, and
//! nothing tells its size before. So an answer that announces too much is given up before it is read, and its images are
//! asked for in smaller parts, one large answer at a time in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ecr::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecr::error::BoxError;

/// What an answer may hold that comes beside many others. A hundred ordinary indexes have half of that.
pub(super) const SMALL_ANSWER: u64 = 2 << 20;
/// What one may hold that comes alone. In memory it is there about three times: as it came, as text, and as it is parsed.
pub(super) const LARGE_ANSWER: u64 = 32 << 20;
/// The same where it is of one image, which can't be asked for in parts: 4 MiB for each of 20 tags, with quotes escaped.
pub(super) const LARGEST_ANSWER: u64 = 96 << 20;

/// Gives an answer up that announces more bytes than this. ECR announces the length of all its answers; one that did not
/// would be read whatever it holds.
#[derive(Clone, Debug)]
pub(super) struct AtMost {
    pub(super) most: u64,
    /// What the last answer announced.
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

/// What the manifests of one image come to in an answer: on average in the last one, and 0 where that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BytesPerImage(u64);

impl BytesPerImage {
    /// As it is in an answer of so many bytes.
    pub(super) fn in_answer(bytes: u64, images: usize) -> Self {
        Self(bytes.div_ceil(images.max(1) as u64))
    }

    /// What so many images come to.
    pub(super) fn of(self, images: usize) -> u64 {
        self.0.saturating_mul(images as u64)
    }

    /// How many images so many bytes hold, at least one.
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
