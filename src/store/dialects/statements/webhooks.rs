//! Webhooks of tenants, and the events that wait to be delivered to them.

use std::collections::HashMap;

use sqlx::{Database, QueryBuilder, Row as _, query::Query};

use super::{BEGIN, Connection, Pool, Row, lock_tenant, read, tell};
use crate::{
    domain::{
        ids::{ExternalId, TenantId},
        time::Timestamp,
        webhook::{Waiting, has_room},
    },
    store::{
        change::Change,
        error::Error,
        rows::{AddedEvent, AddedWebhook, Claim, EventRow, NewEvent, NewWebhook, RegisteredWebhook, Tried, WebhookRow},
    },
};

type Db = <Row as sqlx::Row>::Database;

pub(in crate::store) async fn add(pool: &Pool, new: &NewWebhook<'_>) -> Result<AddedWebhook, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    lock_tenant(&mut tx, new.tenant.as_str()).await?;
    let known = sqlx::query("SELECT id FROM webhooks WHERE tenant = $1 AND url = $2");
    if let Some(row) = known.bind(new.tenant.as_str()).bind(new.url).fetch_optional(&mut *tx).await? {
        let id: String = row.try_get(0)?;
        let used = sqlx::query("UPDATE webhooks SET used_at = $2 WHERE id = $1").bind(&id).bind(new.now);
        used.execute(&mut *tx).await?;
        tx.commit().await?;
        return Ok(AddedWebhook::Known(id));
    }
    let have = sqlx::query("SELECT COUNT(*) FROM webhooks WHERE tenant = $1").bind(new.tenant.as_str());
    let have: i64 = have.fetch_one(&mut *tx).await?.try_get(0)?;
    if !new.most.has_room(u32::try_from(have).unwrap_or(u32::MAX)) {
        return Ok(AddedWebhook::Full);
    }
    sqlx::query(
        "INSERT INTO webhooks (id, tenant, url, meeting, events, secret, created_at, due_at, used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7)",
    )
    .bind(new.id)
    .bind(new.tenant.as_str())
    .bind(new.url)
    .bind(new.meeting)
    .bind(new.events)
    .bind(new.secret)
    .bind(new.now)
    .execute(&mut *tx)
    .await?;
    tell(&mut tx, Change::WEBHOOKS).await?;
    tx.commit().await?;
    Ok(AddedWebhook::New)
}

pub(in crate::store) async fn remove(pool: &Pool, tenant: &str, id: &str) -> Result<bool, Error> {
    removed(pool, sqlx::query("DELETE FROM webhooks WHERE tenant = $1 AND id = $2").bind(tenant).bind(id)).await
}

pub(in crate::store) async fn remove_claimed(pool: &Pool, webhook: &WebhookRow) -> Result<bool, Error> {
    let delete = sqlx::query("DELETE FROM webhooks WHERE id = $1 AND held_until = $2 AND due_at = $3");
    removed(pool, delete.bind(&webhook.id).bind(webhook.held_until).bind(webhook.due_at)).await
}

/// Deletes, and tells the other gateways if something was there. Returns whether it was.
async fn removed(pool: &Pool, delete: Query<'_, Db, <Db as Database>::Arguments>) -> Result<bool, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let was_there = delete.execute(&mut *tx).await?.rows_affected() > 0;
    if was_there {
        tell(&mut tx, Change::WEBHOOKS).await?;
    }
    tx.commit().await?;
    Ok(was_there)
}

pub(in crate::store) async fn registered(pool: &Pool) -> Result<Vec<RegisteredWebhook>, Error> {
    let rows = sqlx::query("SELECT id, tenant, meeting, events FROM webhooks ORDER BY created_at, id");
    let registered = |row: &Row| -> Result<RegisteredWebhook, Error> {
        Ok(RegisteredWebhook {
            id: row.try_get("id")?,
            tenant: read::parsed(row, "tenant")?,
            meeting: meeting(row)?,
            events: row.try_get("events")?,
        })
    };
    rows.fetch_all(pool).await?.iter().map(registered).collect()
}

pub(in crate::store) async fn all(pool: &Pool) -> Result<Vec<WebhookRow>, Error> {
    let rows = sqlx::query("SELECT * FROM webhooks ORDER BY created_at, id").fetch_all(pool).await?;
    rows.iter().map(webhook).collect()
}

pub(in crate::store) async fn of(pool: &Pool, tenant: &str) -> Result<Vec<WebhookRow>, Error> {
    let rows = sqlx::query("SELECT * FROM webhooks WHERE tenant = $1 ORDER BY created_at, id");
    rows.bind(tenant).fetch_all(pool).await?.iter().map(webhook).collect()
}

pub(in crate::store) async fn waiting(pool: &Pool) -> Result<Vec<(String, u64)>, Error> {
    let rows = sqlx::query("SELECT webhook, COUNT(*) FROM webhook_events WHERE delivered_at IS NULL GROUP BY webhook");
    let count = |row: &Row| Ok((row.try_get(0)?, number(row, 1)?));
    rows.fetch_all(pool).await?.iter().map(count).collect()
}

pub(in crate::store) async fn add_event(
    pool: &Pool,
    now: Timestamp,
    most: Waiting,
    event: &NewEvent,
) -> Result<AddedEvent, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let missing = without(&mut tx, event).await?;
    if missing.is_empty() {
        return Ok(AddedEvent::default());
    }
    let chosen = with_room(&mut tx, most, event, &missing).await?;
    let dropped = missing.len().saturating_sub(chosen.len());
    let mut kept = 0;
    if !chosen.is_empty() {
        kept = insert(now, event, &chosen).build().execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
    }
    Ok(AddedEvent { kept, dropped: u64::try_from(dropped).unwrap_or(u64::MAX) })
}

/// The webhooks of an event that are there and have it not yet.
async fn without(tx: &mut Connection, event: &NewEvent) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM webhooks WHERE tenant = $1
         AND NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.webhook = webhooks.id AND e.content = $2)",
    );
    let rows = rows.bind(event.tenant.as_str()).bind(&event.content).fetch_all(tx).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter(|id| event.webhooks.contains(id)).collect())
}

/// Those of some webhooks for which an event may wait. Two gateways may count at the same time, and exceed the bound by what they
/// write then.
async fn with_room<'a>(
    tx: &mut Connection,
    most: Waiting,
    event: &NewEvent,
    ids: &'a [String],
) -> Result<Vec<&'a str>, Error> {
    let rows = sqlx::query(
        "SELECT webhook, COUNT(*), CAST(SUM(bytes) AS BIGINT) FROM webhook_events
         WHERE tenant = $1 AND delivered_at IS NULL GROUP BY webhook",
    );
    let (mut all, mut each) = (Waiting::default(), HashMap::<String, Waiting>::new());
    for row in rows.bind(event.tenant.as_str()).fetch_all(tx).await? {
        let own = Waiting { events: number(&row, 1)?, bytes: number(&row, 2)? };
        all = all.plus(own);
        each.insert(row.try_get(0)?, own);
    }
    let bytes = u64::try_from(event.body.len()).unwrap_or(u64::MAX);
    let mut chosen = Vec::new();
    for id in ids {
        if has_room(most, all, each.get(id).copied().unwrap_or_default(), bytes) {
            all = all.and(bytes);
            chosen.push(&**id);
        }
    }
    Ok(chosen)
}

/// The body goes over once, for however many webhooks. In the order of their ids: two gateways that write the same event at the
/// same time wait for each other in one direction only.
fn insert(now: Timestamp, event: &NewEvent, ids: &[&str]) -> QueryBuilder<Db> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO webhook_events (webhook, tenant, content, body, bytes, received_at) SELECT id, tenant, ",
    );
    let mut values = insert.separated(", ");
    values.push_bind(event.content.as_slice()).push_bind(event.body.as_str());
    values.push_bind(i64::try_from(event.body.len()).unwrap_or(i64::MAX)).push_bind(now);
    insert.push(" FROM webhooks WHERE id IN (");
    let mut listed = insert.separated(", ");
    for id in ids {
        listed.push_bind(*id);
    }
    insert.push(") ORDER BY id ON CONFLICT (webhook, content) DO NOTHING");
    insert
}

/// A count or a sum, in a column.
fn number(row: &Row, column: usize) -> Result<u64, Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

/// Takes what is due: of each tenant the one that has waited longest first, the first ones of all tenants before the second ones.
pub(in crate::store) async fn claim(pool: &Pool, claim: Claim) -> Result<Vec<WebhookRow>, Error> {
    // Outside, too: of two gateways that look at the same time, the second sees what the first has taken.
    let rows = sqlx::query(
        "UPDATE webhooks SET held_until = $1, used_at = $2 WHERE held_until <= $2 AND id IN (
             SELECT id FROM (
                 SELECT id, tenant, due_at, ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY due_at, id) AS turn
                 FROM webhooks WHERE due_at <= $2 AND held_until <= $2
                     AND EXISTS (SELECT 1 FROM webhook_events e
                                 WHERE e.webhook = webhooks.id AND e.delivered_at IS NULL)) AS due
             WHERE turn <= $3 - (SELECT COUNT(*) FROM webhooks held
                                 WHERE held.tenant = due.tenant AND held.held_until > $2)
             ORDER BY turn, due_at LIMIT $4)
         RETURNING *",
    )
    .bind(claim.until)
    .bind(claim.now)
    .bind(i64::from(claim.of_tenant))
    .bind(i64::try_from(claim.most).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.iter().map(webhook).collect()
}

pub(in crate::store) async fn events(pool: &Pool, webhook: &str, most: u32) -> Result<Vec<EventRow>, Error> {
    let rows = sqlx::query(
        "SELECT id, body, received_at FROM webhook_events WHERE webhook = $1 AND delivered_at IS NULL
         ORDER BY id LIMIT $2",
    );
    let event = |row: &Row| -> Result<EventRow, Error> {
        Ok(EventRow { id: row.try_get(0)?, body: row.try_get(1)?, received_at: row.try_get(2)? })
    };
    rows.bind(webhook).bind(i64::from(most)).fetch_all(pool).await?.iter().map(event).collect()
}

pub(in crate::store) async fn delivered(pool: &Pool, event: i64, now: Timestamp) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE webhook_events SET delivered_at = $2, body = '' WHERE id = $1");
    Ok(done.bind(event).bind(now).execute(pool).await?.rows_affected() > 0)
}

pub(in crate::store) async fn release(pool: &Pool, webhook: &WebhookRow, tried: Tried<'_>) -> Result<(), Error> {
    // An operator who has it tried again meanwhile has moved its time: what that has set stays.
    sqlx::query(
        "UPDATE webhooks SET held_until = 0, result = $3,
                             due_at = CASE WHEN due_at = $4 THEN $5 ELSE due_at END,
                             tries = CASE WHEN due_at = $4 THEN $6 ELSE tries END,
                             failing_since = CASE WHEN due_at = $4 THEN $7 ELSE failing_since END
         WHERE id = $1 AND held_until = $2",
    )
    .bind(&webhook.id)
    .bind(webhook.held_until)
    .bind(tried.result)
    .bind(webhook.due_at)
    .bind(tried.due_at)
    .bind(i64::from(tried.tries))
    .bind(tried.failing_since)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn retry(pool: &Pool, id: &str, now: Timestamp) -> Result<Option<WebhookRow>, Error> {
    let row = sqlx::query("UPDATE webhooks SET due_at = $2, tries = 0, failing_since = NULL WHERE id = $1 RETURNING *");
    row.bind(id).bind(now).fetch_optional(pool).await?.as_ref().map(webhook).transpose()
}

pub(in crate::store) async fn forget_delivered(pool: &Pool, before: Timestamp, most: u32) -> Result<u64, Error> {
    let done = sqlx::query(
        "DELETE FROM webhook_events WHERE id IN (
             SELECT id FROM webhook_events WHERE delivered_at < $1 ORDER BY delivered_at LIMIT $2)",
    );
    Ok(done.bind(before).bind(i64::from(most)).execute(pool).await?.rows_affected())
}

pub(in crate::store) async fn forget_unused(
    pool: &Pool,
    before: Timestamp,
    most: u32,
) -> Result<Vec<(TenantId, String)>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let gone = sqlx::query(
        "DELETE FROM webhooks WHERE id IN (
             SELECT id FROM webhooks w WHERE w.meeting IS NOT NULL AND w.used_at < $1
                 AND NOT EXISTS (SELECT 1 FROM meetings m WHERE m.tenant = w.tenant AND m.ext_id = w.meeting)
             ORDER BY w.used_at LIMIT $2)
         RETURNING tenant, id",
    );
    let gone = gone.bind(before).bind(i64::from(most)).fetch_all(&mut *tx).await?;
    if !gone.is_empty() {
        tell(&mut tx, Change::WEBHOOKS).await?;
    }
    tx.commit().await?;
    gone.iter().map(|row| Ok((read::parsed(row, "tenant")?, row.try_get("id")?))).collect()
}

fn meeting(row: &Row) -> Result<Option<ExternalId>, Error> {
    Ok(row.try_get::<Option<String>, _>("meeting")?.map(Into::into))
}

fn webhook(row: &Row) -> Result<WebhookRow, Error> {
    Ok(WebhookRow {
        id: row.try_get("id")?,
        tenant: read::parsed(row, "tenant")?,
        url: row.try_get("url")?,
        meeting: meeting(row)?,
        events: row.try_get("events")?,
        secret: row.try_get("secret")?,
        created_at: row.try_get("created_at")?,
        due_at: row.try_get("due_at")?,
        tries: u32::try_from(row.try_get::<i64, _>("tries")?).unwrap_or(u32::MAX),
        failing_since: row.try_get("failing_since")?,
        held_until: row.try_get("held_until")?,
        result: row.try_get("result")?,
    })
}
