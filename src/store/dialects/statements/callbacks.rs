//! Callbacks: where they go on to, and those that are to be delivered.

use sqlx::Row as _;

use super::{BEGIN, Connection, Pool, Row, read};
use crate::{
    domain::{
        callback::{ENDED, Form, State},
        ids::MeetingNumber,
        time::Timestamp,
    },
    store::{
        error::Error,
        rows::{CallbackAddress, CallbackRow, Claim, Kept, LISTED_MAX, MeetingRow, NewCallback, WAITING_MAX},
    },
};

/// The columns of a row for the operator: a body may have 1 MB, and is not shown.
macro_rules! listed {
    () => {
        "id, tenant, ext_id, parameter, url, secret, form, algorithm, '' AS body, state, received_at, due_at, try_until,
         tries, held_until, result"
    };
}

pub(in crate::store) async fn add_addresses(
    pool: &Pool,
    meeting: MeetingNumber,
    code: &[u8],
    addresses: &[CallbackAddress],
) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    for address in addresses {
        sqlx::query(
            "INSERT INTO callback_addresses (code, parameter, meeting, url, secret) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (code, parameter) DO UPDATE SET meeting = excluded.meeting",
        )
        .bind(code)
        .bind(&address.parameter)
        .bind(meeting)
        .bind(&address.url)
        .bind(&address.secret)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(in crate::store) async fn addresses(
    pool: &Pool,
    code: &[u8],
) -> Result<Option<(MeetingRow, Vec<CallbackAddress>)>, Error> {
    let rows = sqlx::query(
        "SELECT m.*, a.parameter, a.url, a.secret FROM callback_addresses a JOIN meetings m ON m.id = a.meeting
         WHERE a.code = $1 ORDER BY a.parameter",
    )
    .bind(code)
    .fetch_all(pool)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let addresses: Result<_, Error> = rows.iter().map(address).collect();
    Ok(Some((read::meeting(first)?, addresses?)))
}

pub(in crate::store) async fn add(
    pool: &Pool,
    meeting: &MeetingRow,
    new: &NewCallback<'_>,
    to: &[(&CallbackAddress, &str)],
) -> Result<Kept, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    if new.form == Form::Ended {
        if has_later_run(&mut tx, meeting).await? {
            return Ok(Kept::Yes);
        }
    } else if waiting(&mut tx, meeting.tenant.as_str()).await? >= WAITING_MAX {
        return Ok(Kept::Full);
    }
    for (address, body) in to {
        // What was delivered may be said again, but for the end.
        sqlx::query(
            "INSERT INTO callbacks (meeting, tenant, ext_id, parameter, url, secret, form, algorithm, content, body, state,
                                    received_at, due_at, try_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'waiting', $11, $11, $12)
             ON CONFLICT (meeting, parameter, content) DO UPDATE
             SET url = excluded.url, secret = excluded.secret, algorithm = excluded.algorithm, body = excluded.body,
                 state = 'waiting', received_at = excluded.received_at, due_at = excluded.due_at,
                 try_until = excluded.try_until, tries = 0, held_until = 0, result = NULL
             WHERE callbacks.state <> 'waiting' AND callbacks.form <> 'ended'",
        )
        .bind(meeting.id)
        .bind(meeting.tenant.as_str())
        .bind(meeting.ext_id.as_str())
        .bind(&address.parameter)
        .bind(&address.url)
        .bind(&address.secret)
        .bind(new.form.as_str())
        .bind(new.algorithm)
        .bind(new.content)
        .bind(*body)
        .bind(new.now)
        .bind(new.try_until)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Kept::Yes)
}

pub(in crate::store) async fn add_missing_ends(
    pool: &Pool,
    new: &NewCallback<'_>,
    since: Timestamp,
    before: Timestamp,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "INSERT INTO callbacks (meeting, tenant, ext_id, parameter, url, secret, form, algorithm, content, body, state,
                                received_at, due_at, try_until)
         SELECT m.id, m.tenant, m.ext_id, a.parameter, a.url, a.secret, $1, '', $2, 'false', 'waiting', $3, $3, $4
         FROM meetings m JOIN callback_addresses a ON a.meeting = m.id
         WHERE m.ended_at > $5 AND m.ended_at <= $6 AND a.parameter IN ($7, $8)
             AND NOT EXISTS (SELECT 1 FROM meetings later
                             WHERE later.tenant = m.tenant AND later.ext_id = m.ext_id AND later.id > m.id)
         ON CONFLICT (meeting, parameter, content) DO NOTHING",
    )
    .bind(new.form.as_str())
    .bind(new.content)
    .bind(new.now)
    .bind(new.try_until)
    .bind(since)
    .bind(before)
    .bind(ENDED[0])
    .bind(ENDED[1])
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Takes what is due: of each tenant its oldest first, the first ones of all tenants before the second ones.
pub(in crate::store) async fn claim(pool: &Pool, claim: Claim) -> Result<Vec<CallbackRow>, Error> {
    // Outside, too: of two gateways that look at the same time, the second sees what the first has taken.
    let rows = sqlx::query(
        "UPDATE callbacks SET held_until = $1 WHERE state = 'waiting' AND held_until <= $2 AND id IN (
             SELECT id FROM (
                 SELECT id, tenant, due_at, ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY due_at, id) AS turn
                 FROM callbacks WHERE state = 'waiting' AND due_at <= $2 AND held_until <= $2) AS due
             WHERE turn <= $3 - (SELECT COUNT(*) FROM callbacks held
                                 WHERE held.tenant = due.tenant AND held.state = 'waiting' AND held.held_until > $2)
             ORDER BY turn, due_at LIMIT $4)
         RETURNING *",
    )
    .bind(claim.until)
    .bind(claim.now)
    .bind(i64::from(claim.of_tenant))
    .bind(i64::try_from(claim.most).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.iter().map(callback).collect()
}

pub(in crate::store) async fn delivered(pool: &Pool, callback: &CallbackRow, result: &str) -> Result<(), Error> {
    // Whatever has become of the row meanwhile, unless the same was said once more.
    sqlx::query(
        "UPDATE callbacks SET state = 'delivered', body = '', tries = tries + 1, held_until = 0, result = $3
         WHERE id = $1 AND received_at = $2",
    )
    .bind(callback.id)
    .bind(callback.received_at)
    .bind(result)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn failed(
    pool: &Pool,
    callback: &CallbackRow,
    result: &str,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let state = if due_at.is_some() { State::Waiting } else { State::GivenUp };
    // An operator who has it tried again moves the end of its time: that stays.
    sqlx::query(
        "UPDATE callbacks SET state = $3, due_at = $4, tries = tries + 1, held_until = 0, result = $5
         WHERE id = $1 AND held_until = $2 AND try_until = $6 AND state = 'waiting'",
    )
    .bind(callback.id)
    .bind(callback.held_until)
    .bind(state.as_str())
    .bind(due_at.unwrap_or(callback.due_at))
    .bind(result)
    .bind(callback.try_until)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn list(pool: &Pool, tenant: Option<&str>, state: State) -> Result<Vec<CallbackRow>, Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        listed!(),
        " FROM callbacks WHERE tenant = COALESCE($1, tenant) AND state = $2
         ORDER BY received_at DESC, id DESC LIMIT $3",
    ))
    .bind(tenant)
    .bind(state.as_str())
    .bind(LISTED_MAX)
    .fetch_all(pool)
    .await?;
    rows.iter().map(callback).collect()
}

pub(in crate::store) async fn retry(
    pool: &Pool,
    id: i64,
    now: Timestamp,
    try_until: Timestamp,
) -> Result<Option<CallbackRow>, Error> {
    let rows = sqlx::query(concat!(
        "UPDATE callbacks SET state = 'waiting', due_at = $2, try_until = $3
         WHERE id = $1 AND state <> 'delivered' RETURNING ",
        listed!(),
    ))
    .bind(id)
    .bind(now)
    .bind(try_until)
    .fetch_all(pool)
    .await?;
    rows.first().map(callback).transpose()
}

/// Whether the room of a meeting has had another run since.
async fn has_later_run(tx: &mut Connection, meeting: &MeetingRow) -> Result<bool, Error> {
    let later = sqlx::query("SELECT 1 FROM meetings WHERE tenant = $1 AND ext_id = $2 AND id > $3 LIMIT 1");
    let later = later.bind(meeting.tenant.as_str()).bind(meeting.ext_id.as_str()).bind(meeting.id);
    Ok(later.fetch_optional(tx).await?.is_some())
}

/// How many of a tenant wait, ends of meetings aside: a meeting has two of these at most.
async fn waiting(tx: &mut Connection, tenant: &str) -> Result<i64, Error> {
    let row = sqlx::query("SELECT COUNT(*) FROM callbacks WHERE tenant = $1 AND state = 'waiting' AND form <> 'ended'");
    Ok(row.bind(tenant).fetch_one(tx).await?.try_get(0)?)
}

fn address(row: &Row) -> Result<CallbackAddress, Error> {
    Ok(CallbackAddress {
        parameter: row.try_get("parameter")?,
        url: row.try_get("url")?,
        secret: row.try_get("secret")?,
    })
}

fn callback(row: &Row) -> Result<CallbackRow, Error> {
    Ok(CallbackRow {
        id: row.try_get("id")?,
        tenant: read::parsed(row, "tenant")?,
        ext_id: row.try_get::<String, _>("ext_id")?.into(),
        parameter: row.try_get("parameter")?,
        url: row.try_get("url")?,
        secret: row.try_get("secret")?,
        form: read::parsed(row, "form")?,
        algorithm: row.try_get("algorithm")?,
        body: row.try_get("body")?,
        state: read::parsed(row, "state")?,
        received_at: row.try_get("received_at")?,
        due_at: row.try_get("due_at")?,
        try_until: row.try_get("try_until")?,
        tries: u32::try_from(row.try_get::<i64, _>("tries")?).unwrap_or(u32::MAX),
        held_until: row.try_get("held_until")?,
        result: row.try_get("result")?,
    })
}
