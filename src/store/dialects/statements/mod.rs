//! The statements: one text for both dialects, which `super` stands for. A file for each family; `locks` and `read` are below
//! them all, and `usage` and `notes` below those in which somebody comes or goes.

use super::{
    BEGIN, Connection, LOCK_MEETING, LOCK_NOT_OPEN, LOCK_SESSION, ONE_AT_A_TIME, Pool, Row, lock_authority,
    lock_tenant, tell,
};

pub(in crate::store) mod callbacks;
pub(in crate::store) mod certificates;
pub(in crate::store) mod ended;
pub(in crate::store) mod gateways;
pub(in crate::store) mod keys;
mod locks;
pub(in crate::store) mod meetings;
pub(in crate::store) mod notes;
pub(in crate::store) mod operations;
mod read;
pub(in crate::store) mod recordings;
pub(in crate::store) mod seats;
pub(in crate::store) mod usage;
pub(in crate::store) mod webhooks;
