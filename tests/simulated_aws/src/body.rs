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
    end: End,
}

/// What comes after the last byte that is sent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// Nothing.
    #[default]
    Proper,
    /// The connection is closed, once what was sent has left.
    BreaksOff,
    /// It is closed now.
    Broken,
}

/// The connection is closed without an answer, or before its end.
#[derive(Debug)]
pub(crate) struct Dropped;

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { announced: bytes.len() as u64, rest: bytes, end: End::Proper }
    }

    /// The same, of which only the first half is sent.
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
            // The server writes out what it has when there is no more for now, and drops it when there is an error.
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
