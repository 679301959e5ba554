//! The statements: one text for both dialects, which `super` stands for. A file for each family; `locks` and `read` are below
//! them all, and `usage` and `notes` below those in which somebody comes or goes.

use super::{
    BEGIN, Connection, LOCK_MEETING, LOCK_NOT_OPEN, LOCK_SESSION, ONE_AT_A_TIME, Pool, Row, lock_tenant, tell,
};

mod ended;
mod gateways;
mod keys;
mod locks;
mod meetings;
mod notes;
mod operations;
mod read;
mod recordings;
mod seats;
mod usage;

pub(in crate::store) use ended::*;
pub(in crate::store) use gateways::*;
pub(in crate::store) use keys::*;
pub(in crate::store) use meetings::*;
pub(in crate::store) use notes::*;
pub(in crate::store) use operations::*;
pub(in crate::store) use recordings::*;
pub(in crate::store) use seats::*;
pub(in crate::store) use usage::*;
