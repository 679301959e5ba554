//! [`Verified`]: a call whose checksum fits.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    bbb::query::Params,
    proxy::{asked::Asked, held::Charge},
};

/// A call whose checksum fits.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) asked: Asked,
    /// The name of the credential that signed it.
    pub(crate) credential: Arc<str>,
    /// The label of its secret that did.
    pub(crate) secret: Arc<str>,
    /// Query and form together.
    pub(crate) params: Params,
    /// The XML body of a `create`, and how many documents are in it.
    pub(crate) modules: Option<(Bytes, u32)>,
    /// It is a join whose address the gateway itself has made: no secret of the tenant has signed it.
    pub(crate) granted: bool,
    /// What its body is charged for, until it is answered.
    pub(crate) _charge: Option<Charge>,
}
