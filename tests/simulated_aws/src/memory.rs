//! The account without a port: an HTTP client for the SDK that passes each request to the same code as the server.
//!
//! Signatures, retries, timeouts and the parsing of answers are the SDK's own. A failed connection gives the same error as
//! the SDK's own client.

use std::fmt;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;

use crate::body::Dropped;
use crate::respond::respond;
use crate::world::Shared;

/// The HTTP client that the SDK uses instead of the network.
#[derive(Clone)]
pub(crate) struct Memory(pub(crate) Shared);

impl HttpConnector for Memory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = respond(request, &world).await.map_err(closed)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The error of the SDK's own client for a connection that the server closed before the answer.
fn closed(dropped: Dropped) -> ConnectorError {
    ConnectorError::other(dropped.into(), Some(ErrorKind::TransientError))
}

impl HttpClient for Memory {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
