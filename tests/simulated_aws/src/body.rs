//! An answer's body, which may break off in the middle.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};

/// A body whose length is announced, and that may be sent whole or not.
#[derive(Default)]
pub(crate) struct Body {
    announced: u64,
    rest: Bytes,
    breaks_off: bool,
}

/// The connection is closed without an answer, or before its end.
#[derive(Debug)]
pub(crate) struct Dropped;

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { announced: bytes.len() as u64, rest: bytes, breaks_off: false }
    }

    /// The same, of which only the first half is sent.
    pub(crate) fn truncated(self) -> Self {
        Self { rest: self.rest.slice(..self.rest.len() / 2), breaks_off: true, ..self }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        Poll::Ready(std::mem::take(&mut self.breaks_off).then_some(Err(Dropped)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed")
    }
}

impl std::error::Error for Dropped {}
