//! The two writing calls. Each is cut off before the data on which it is based is too old, and returns the result of
//! every image.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecr::error::BoxError;
use aws_sdk_ecr::operation::batch_delete_image::BatchDeleteImageOutput;
use aws_sdk_ecr::types::{ImageIdentifier, TargetStorageClass};
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::{ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::ImageResult;

use crate::aws::{Caller, Pace, Quota};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::registry::{Described, Registry};

const BATCH_DELETE_IMAGE: &str = "ecr:BatchDeleteImage";
const UPDATE_IMAGE_STORAGE_CLASS: &str = "ecr:UpdateImageStorageClass";

/// `UpdateImageStorageClass` accepts one image per call and has no published rate. This is the function's rate for ECS.
pub(super) const STORAGE_CLASS: Quota = Quota { calls: &[UPDATE_IMAGE_STORAGE_CLASS], per_second: 20, burst: 20 };

/// The errors of `UpdateImageStorageClass` that concern the image rather than the call.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UpdateImageStorageClass.html>.
const OF_THE_IMAGE: [&str; 2] = ["ImageStorageClassUpdateNotSupportedException", "ValidationException"];

/// Writes to one repository.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) registry: &'a Registry<'a>,
    pub(super) ecr: &'a Client,
    pub(super) repository: &'a RepositoryName,
    pub(super) pace: &'a Pace,
    pub(super) deadline: Deadline,
    pub(super) clock: &'a Clock,
    /// The time limit of a call with all its retries.
    pub(super) timeout: Duration,
}

/// The results of the images in a delete call, and the error of the call if some still exist.
pub(super) struct Deletion {
    pub(super) results: HashMap<ImageDigest, ImageResult>,
    pub(super) error: Option<CallError>,
}

impl Writer<'_> {
    /// Deletes images. If the answer is lost, they are described once more, and those that no longer exist count as
    /// deleted.
    pub(super) async fn delete(&self, digests: &BTreeSet<ImageDigest>) -> Deletion {
        let attempts = Attempts::default();
        // By digest alone, because a tag may have moved to another image.
        let image_ids = digests.iter().map(|it| ImageIdentifier::builder().image_digest(it.to_string()).build());
        let request = self.ecr.batch_delete_image().repository_name(self.repository.as_str());
        let request = request.set_image_ids(Some(image_ids.collect())).customize().interceptor(attempts.clone());
        let caller = Caller::new(self.deadline);
        let call = caller.call(BATCH_DELETE_IMAGE, request.send());
        match self.in_time(BATCH_DELETE_IMAGE, call).await {
            Ok(answer) => Deletion { results: results(digests, &answer, &attempts), error: None },
            Err(error) if attempts.may_have_been_carried_out(&error) => {
                let gone = self.gone(digests).await.into_iter();
                Deletion { results: gone.map(|digest| (digest, ImageResult::Deleted)).collect(), error: Some(error) }
            }
            Err(error) => Deletion { results: HashMap::new(), error: Some(error) },
        }
    }

    /// The images that no longer exist, according to ECR.
    async fn gone(&self, digests: &BTreeSet<ImageDigest>) -> Vec<ImageDigest> {
        let (mut left, mut all) = (vec![digests.iter().copied().collect::<Vec<_>>()], Vec::new());
        while let Some(batch) = left.pop() {
            match self.registry.describe(self.repository, &batch).await {
                Ok(Described { images: _, gone, left: again }) => {
                    all.extend(gone);
                    left.extend(again);
                }
                // Unknown images keep their failed result.
                Err(_) => return all,
            }
        }
        all
    }

    /// Moves an image to archive storage.
    pub(super) async fn archive(&self, image_digest: ImageDigest) -> Result<ImageResult, CallError> {
        let image_id = ImageIdentifier::builder().image_digest(image_digest.to_string()).build();
        let request = self
            .ecr
            .update_image_storage_class()
            .repository_name(self.repository.as_str())
            .image_id(image_id)
            .target_storage_class(TargetStorageClass::Archive);
        let caller = Caller::paced(self.deadline, self.pace);
        let call = caller.call(UPDATE_IMAGE_STORAGE_CLASS, request.send());
        match self.in_time(UPDATE_IMAGE_STORAGE_CLASS, call).await {
            Ok(_) => Ok(ImageResult::Archived),
            Err(error) if error.is_missing(Missing::Image) => Ok(ImageResult::Gone),
            // ECR may be able to archive the next image.
            Err(error) if OF_THE_IMAGE.contains(&error.code.as_str()) => Ok(failed(&error)),
            Err(error) => Err(error),
        }
    }

    /// Cuts a writing call off before the data on which it is based is too old.
    async fn in_time<T>(
        &self,
        api: &'static str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Self { timeout, clock, .. } = *self;
        let begun = clock.now();
        let mut call = pin!(call);
        // The timer stops while the machine sleeps. After a sleep the call must not be sent again.
        let awake = poll_fn(|context| {
            if clock.age_of(begun) > timeout { Poll::Ready(None) } else { call.as_mut().poll(context).map(Some) }
        });
        tokio::time::timeout(timeout, awake).await.ok().flatten().unwrap_or_else(|| {
            let message = format!("no answer within {timeout:?}. The images in use may have changed since.");
            Err(CallError::new(api, "TimeoutError", message))
        })
    }
}

/// The number of times that a call was sent, including the SDK's retries.
#[derive(Clone, Debug, Default)]
struct Attempts(Arc<AtomicU32>);

impl Attempts {
    fn are_several(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }

    /// Whether a failed call may have had its effect: it was sent, and AWS did not simply deny it.
    fn may_have_been_carried_out(&self, error: &CallError) -> bool {
        self.0.load(Ordering::Relaxed) > 0
            && !error.is_missing(Missing::Repository)
            && (self.are_several() || !error.is_denial())
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// ECR also answers 200 when it deletes nothing. The answer contains the result of each image.
fn results(
    digests: &BTreeSet<ImageDigest>,
    answer: &BatchDeleteImageOutput,
    attempts: &Attempts,
) -> HashMap<ImageDigest, ImageResult> {
    let digest_of = |id: Option<&ImageIdentifier>| -> Option<ImageDigest> { id?.image_digest()?.parse().ok() };
    let deleted = answer.image_ids().iter().filter_map(|id| digest_of(Some(id)));
    let mut results: HashMap<ImageDigest, ImageResult> = deleted.map(|digest| (digest, ImageResult::Deleted)).collect();
    for failure in answer.failures() {
        if let Some(digest) = digest_of(failure.image_id()) {
            let code = failure.failure_code().map_or("UnknownFailure", |code| code.as_str());
            let result = match code {
                "ImageReferencedByManifestList" => ImageResult::Kept,
                // An earlier attempt deleted it, and the answer was lost.
                "ImageNotFound" if attempts.are_several() => ImageResult::Deleted,
                "ImageNotFound" => ImageResult::Gone,
                code => ImageResult::failed(code, failure.failure_reason().unwrap_or_default()),
            };
            results.insert(digest, result);
        }
    }
    for digest in digests {
        results.entry(*digest).or_insert_with(|| {
            ImageResult::failed("NotConfirmed", "ECR's answer lists the image neither as deleted nor as failed")
        });
    }
    results
}

/// A call that failed for an image.
pub(super) fn failed(error: &CallError) -> ImageResult {
    let reason = format!("{} ({})", error.message, error.remedy());
    ImageResult::failed(&error.code, &reason)
}
