//! Reads the replicas in other registries that ECR deletes together with their source.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecr::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecr::error::BoxError;
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::manifest::Unfetched;
use ecr_cleanup_core::replication::{Copies, DeleteReplication, Replica, UnreadCopies};
use ecr_cleanup_core::repository::Study;
use futures::future::join_all;

use super::{Contents, Registry};

const DESCRIBE_REGISTRY: &str = "ecr:DescribeRegistry";

/// Keeps the text of an answer. It shows whether a rule replicates deletes, which the SDK does not return yet.
#[derive(Clone, Debug, Default)]
struct KeepText(Arc<Mutex<Option<String>>>);

impl Intercept for KeepText {
    fn name(&self) -> &'static str {
        "KeepText"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let text = context.response().body().bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}

impl KeepText {
    fn into_text(self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl Registry<'_> {
    /// The replicas that ECR deletes when images of a repository are deleted.
    ///
    /// # Errors
    /// When the replication rules are unknown.
    pub(super) async fn read_replicas(
        &self,
        name: &RepositoryName,
        study: &Study<'_>,
    ) -> Result<Vec<Replica>, CallError> {
        let replication = self.rules_that_delete().await?;
        let read = async |place: &Place| Replica {
            place: place.clone(),
            copies: if place.account == self.place.account {
                self.read_copies(place, name, study).await.map_err(UnreadCopies::Failed)
            } else {
                Err(UnreadCopies::OfAnotherAccount)
            },
        };
        Ok(join_all(replication.destinations(name).into_iter().map(read)).await)
    }

    async fn read_copies(&self, place: &Place, name: &RepositoryName, study: &Study<'_>) -> Result<Copies, CallError> {
        let elsewhere = self.elsewhere(place);
        let images = match elsewhere.read_images(name).await {
            Ok(Contents { images, unnamed: 0, .. }) => images,
            Ok(Contents { unnamed, .. }) => return Err(CallError::unnamed_images(unnamed)),
            // ECR has replicated nothing yet.
            Err(error) if error.is_missing(Missing::Repository) => return Ok(Copies::default()),
            Err(error) => return Err(error),
        };
        let contents = elsewhere.read_manifests(name, study.unread_among(&images)).await;
        match contents.unfetched {
            Some(Unfetched { indexes: _, error }) => Err(error),
            None => Ok(Copies { images, manifests: contents.manifests }),
        }
    }

    /// The rules that replicate deletes. They are read once.
    async fn rules_that_delete(&self) -> Result<DeleteReplication, CallError> {
        let mut replication = self.replication.lock().await;
        if let Some(known) = &*replication {
            return known.clone();
        }
        replication.insert(self.read_rules_that_delete().await).clone()
    }

    async fn read_rules_that_delete(&self) -> Result<DeleteReplication, CallError> {
        self.deadline.allows_more().map_err(|reached| (DESCRIBE_REGISTRY, reached))?;
        let text = KeepText::default();
        let request = self.client.describe_registry().customize().interceptor(text.clone());
        self.caller().call(DESCRIBE_REGISTRY, request.send()).await?;
        DeleteReplication::of_registry(&text.into_text())
            .map_err(|error| CallError::unexpected(DESCRIBE_REGISTRY, &error))
    }
}
