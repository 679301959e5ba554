//! Doors to what reads a server's answers, for random tests and fuzz targets alone.

use std::io;

use bytes::{Bytes, BytesMut};
use http::Response;

use super::{
    answer::{Chunk, Framing, Head},
    link,
};

/// See `link::head_end`.
#[must_use]
pub fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    link::head_end(bytes, searched)
}

/// A head, whether the connection is kept behind it, and what reads its body.
///
/// # Errors
/// For what is no head.
pub fn head(bytes: &[u8], is_head: bool) -> io::Result<(Response<()>, bool, BodyReader)> {
    let Head { response, framing, is_kept } = Head::parse(Bytes::copy_from_slice(bytes), is_head)?;
    Ok((response, is_kept, BodyReader { framing, read: BytesMut::new() }))
}

/// Takes a body out of what comes.
#[derive(Debug)]
pub struct BodyReader {
    framing: Framing,
    read: BytesMut,
}

impl BodyReader {
    /// Of a body in chunks.
    #[must_use]
    pub fn chunked() -> Self {
        Self { framing: Framing::Chunked(Chunk::Size), read: BytesMut::new() }
    }

    /// Takes more bytes, and appends what they have of the body.
    ///
    /// # Errors
    /// For what is no such body.
    pub fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> io::Result<()> {
        self.read.extend_from_slice(bytes);
        while let Some(piece) = self.framing.take(&mut self.read)? {
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    /// Its length as far as the head has told it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::Close => None,
        }
    }

    /// How many bytes have come that are not taken yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.read.len()
    }
}
