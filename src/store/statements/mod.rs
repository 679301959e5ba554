//! The statements: one text for both dialects, which `super` stands for.

use super::{
    BEGIN, Connection, LOCK_MEETING, LOCK_NOT_OPEN, LOCK_SESSION, ONE_AT_A_TIME, Pool, Row, lock_tenant, tell,
};

mod gateways;
mod meetings;
mod notes;
mod operations;
mod read;
mod seats;
mod usage;

pub(in crate::store) use gateways::*;
pub(in crate::store) use meetings::*;
pub(in crate::store) use notes::*;
pub(in crate::store) use operations::*;
pub(in crate::store) use seats::*;
pub(in crate::store) use usage::*;
