//! The body of an answer. A fault can cut it off in the middle.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};

/// A body with its announced length. A fault can make it shorter than that.
#[derive(Default)]
pub(crate) struct Body {
    announced: u64,
    rest: Bytes,
    end: End,
}

/// What the server does after the last byte.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// It keeps the connection open.
    #[default]
    Proper,
    /// It closes the connection after the bytes before are on the wire.
    BreaksOff,
    /// It closes the connection now.
    Broken,
}

/// The server closes the connection before the end of the answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { announced: bytes.len() as u64, rest: bytes, end: End::Proper }
    }

    /// The same body, cut off after its first half.
    pub(crate) fn truncated(self) -> Self {
        Self { rest: self.rest.slice(..self.rest.len() / 2), end: End::BreaksOff, ..self }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        match std::mem::replace(&mut self.end, End::Proper) {
            End::Proper => Poll::Ready(None),
            // hyper writes its buffer when a body is pending, and discards the buffer when a body fails.
            End::BreaksOff => {
                self.end = End::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err(Dropped))),
        }
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
