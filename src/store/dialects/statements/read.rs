//! From rows to values. A row that cannot be is an error.

use std::str::FromStr;

use sqlx::Row as _;

use super::Row;
use crate::{
    domain::{ids::InternalId, session::Held},
    store::{
        columns::length,
        error::Error,
        rows::{MeetingRow, MeetingState, RecordingRow, SessionRow},
    },
};

pub(super) fn meeting(row: &Row) -> Result<MeetingRow, Error> {
    let number = |column| -> Result<Option<u32>, Error> {
        let number: Option<i64> = row.try_get(column)?;
        number.map(u32::try_from).transpose().map_err(|_| Error::impossible(column))
    };
    Ok(MeetingRow {
        id: row.try_get("id")?,
        tenant: parsed(row, "tenant")?,
        account: row.try_get("account")?,
        ext_id: text_id(row, "ext_id")?,
        server: parsed(row, "server")?,
        participants: number("participants")?,
        expected: number("expected")?,
        created_at: row.try_get("created_at")?,
        ends_at: row.try_get("ends_at")?,
        records: row.try_get("records")?,
        afterglow: row.try_get::<Option<i64>, _>("afterglow")?.map(length),
        state: state(row)?,
    })
}

fn state(row: &Row) -> Result<MeetingState, Error> {
    let internal_id = row.try_get::<Option<String>, _>("internal_id")?.map(InternalId::from);
    Ok(match (row.try_get("ended_at")?, internal_id) {
        (Some(at), internal_id) => MeetingState::Ended { at, internal_id },
        (None, Some(internal_id)) => MeetingState::Running { internal_id },
        (None, None) => MeetingState::Reserved { owner: row.try_get("owner")? },
    })
}

pub(super) fn recording(row: &Row) -> Result<RecordingRow, Error> {
    Ok(RecordingRow {
        id: text_id(row, "record_id")?,
        tenant: parsed(row, "tenant")?,
        ext_id: text_id(row, "ext_id")?,
        server: parsed(row, "server")?,
    })
}

pub(super) fn session(row: &Row) -> Result<SessionRow, Error> {
    let token: Vec<u8> = row.try_get("token")?;
    Ok(SessionRow {
        id: row.try_get("id")?,
        meeting: row.try_get("meeting")?,
        token: token.try_into().map_err(|_| Error::impossible("token"))?,
        held: row.try_get("seat_until")?,
        breakout: row.try_get("breakout")?,
        waits: row.try_get("waits")?,
    })
}

/// A session of a meeting that has ended: it has no seat.
pub(super) fn ended_session(row: &Row) -> Result<SessionRow, Error> {
    let token: Vec<u8> = row.try_get("token")?;
    Ok(SessionRow {
        id: row.try_get("id")?,
        meeting: row.try_get("meeting")?,
        token: token.try_into().map_err(|_| Error::impossible("token"))?,
        held: Held::No,
        breakout: None,
        waits: false,
    })
}

/// An id, which may be any text.
fn text_id<T: From<String>>(row: &Row, column: &str) -> Result<T, Error> {
    Ok(row.try_get::<String, _>(column)?.into())
}

pub(super) fn parsed<T: FromStr>(row: &Row, column: &str) -> Result<T, Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| Error::impossible(column))
}
