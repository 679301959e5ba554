//! Images that people put into chat and notes (4.0): up and down at the root of the host, for those of the meeting alone, its
//! breakout rooms included (docs/reference/bbb-protocol.md, "Images").

use http::Response;

use super::answer::text;
use crate::{domain::denial::Denial, upstream::Body};

/// Where they are on a server.
const IMAGES: &str = "/bigbluebutton/fileUpload/";
/// Where they are put.
const UPLOAD: &str = "/bigbluebutton/fileUpload/upload";
/// The most that BBB's nginx takes of one, with its form.
pub(super) const BYTES_MAX: u64 = 6 * 1024 * 1024;

/// Whether a path on a server is that of an image, or where images are put.
pub(super) fn is_image(path: &str) -> bool {
    path.starts_with(IMAGES)
}

/// The refusal of an upload in the form that the client reads: it knows what to say by the `code`. `None` for another path.
pub(super) fn refused(path: &str, denial: Denial) -> Option<Response<Body>> {
    let code = match denial {
        Denial::TooLarge => "file_too_large",
        Denial::UnknownSession => "unauthorized",
        other => other.key(),
    };
    let body = || format!("{{\"code\":\"{code}\"}}");
    path.ends_with(UPLOAD).then(|| text(denial.status(), "application/json", body()))
}
