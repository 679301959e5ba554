//! Webhooks of tenants, and the events that wait to be delivered to them.

use std::collections::HashMap;

use sqlx::Row as _;

use super::{BEGIN, Connection, Pool, Row, lock_tenant, read, tell};
use crate::{
    domain::{ids::TenantId, time::Timestamp},
    store::{
        change::Change,
        error::Error,
        rows::{AddedWebhook, Claim, EventRow, NewEvent, NewWebhook, Tried, WebhookRow},
    },
};

pub(in crate::store) async fn add(pool: &Pool, new: &NewWebhook<'_>) -> Result<AddedWebhook, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    lock_tenant(&mut tx, new.tenant.as_str()).await?;
    let known = sqlx::query("SELECT id FROM webhooks WHERE tenant = $1 AND url = $2");
    if let Some(row) = known.bind(new.tenant.as_str()).bind(new.url).fetch_optional(&mut *tx).await? {
        return Ok(AddedWebhook::Known(row.try_get(0)?));
    }
    let have = sqlx::query("SELECT COUNT(*) FROM webhooks WHERE tenant = $1").bind(new.tenant.as_str());
    let have: i64 = have.fetch_one(&mut *tx).await?.try_get(0)?;
    if !new.most.has_room(u32::try_from(have).unwrap_or(u32::MAX)) {
        return Ok(AddedWebhook::Full);
    }
    sqlx::query(
        "INSERT INTO webhooks (id, tenant, url, meeting, events, secret, created_at, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
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
    let mut tx = pool.begin_with(BEGIN).await?;
    let done = sqlx::query("DELETE FROM webhooks WHERE tenant = $1 AND id = $2").bind(tenant).bind(id);
    let was_there = done.execute(&mut *tx).await?.rows_affected() > 0;
    tell(&mut tx, Change::WEBHOOKS).await?;
    tx.commit().await?;
    Ok(was_there)
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
    let count = |row: &Row| Ok((row.try_get(0)?, u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0)));
    rows.fetch_all(pool).await?.iter().map(count).collect()
}

pub(in crate::store) async fn add_events(
    pool: &Pool,
    now: Timestamp,
    most: u32,
    events: &[NewEvent],
) -> Result<Vec<TenantId>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let (mut waiting, mut dropped) = (HashMap::<&TenantId, u64>::new(), Vec::new());
    for event in events {
        let waits = match waiting.get(&event.tenant) {
            Some(waits) => *waits,
            None => waiting_of(&mut tx, event.tenant.as_str()).await?,
        };
        if waits >= u64::from(most) {
            dropped.push(event.tenant.clone());
            continue;
        }
        waiting.insert(&event.tenant, waits.saturating_add(add_event(&mut tx, now, event).await?));
    }
    tx.commit().await?;
    Ok(dropped)
}

/// Keeps an event, if its webhook is there still and has it not yet. Returns how many rows there are more.
async fn add_event(tx: &mut Connection, now: Timestamp, event: &NewEvent) -> Result<u64, Error> {
    let done = sqlx::query(
        "INSERT INTO webhook_events (webhook, tenant, content, body, received_at)
         SELECT id, tenant, $2, $3, $4 FROM webhooks WHERE id = $1
         ON CONFLICT (webhook, content) DO NOTHING",
    );
    let done = done.bind(&event.webhook).bind(&event.content).bind(&event.body).bind(now);
    Ok(done.execute(tx).await?.rows_affected())
}

async fn waiting_of(tx: &mut Connection, tenant: &str) -> Result<u64, Error> {
    let row = sqlx::query("SELECT COUNT(*) FROM webhook_events WHERE tenant = $1 AND delivered_at IS NULL");
    Ok(u64::try_from(row.bind(tenant).fetch_one(tx).await?.try_get::<i64, _>(0)?).unwrap_or(0))
}

/// Takes what is due: of each tenant the one that has waited longest first, the first ones of all tenants before the second ones.
pub(in crate::store) async fn claim(pool: &Pool, claim: Claim) -> Result<Vec<WebhookRow>, Error> {
    // Outside, too: of two gateways that look at the same time, the second sees what the first has taken.
    let rows = sqlx::query(
        "UPDATE webhooks SET held_until = $1 WHERE held_until <= $2 AND id IN (
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

pub(in crate::store) async fn delivered(pool: &Pool, event: i64, now: Timestamp) -> Result<(), Error> {
    let done = sqlx::query("UPDATE webhook_events SET delivered_at = $2, body = '' WHERE id = $1");
    done.bind(event).bind(now).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn release(pool: &Pool, webhook: &WebhookRow, tried: Tried<'_>) -> Result<(), Error> {
    // An operator who has it tried again meanwhile has moved its time: that stays.
    sqlx::query(
        "UPDATE webhooks SET held_until = 0, result = $4,
                             due_at = CASE WHEN due_at = $7 THEN $3 ELSE due_at END,
                             tries = CASE WHEN $5 AND due_at = $7 THEN tries + 1 ELSE 0 END,
                             failing_since = CASE WHEN $5 AND due_at = $7 THEN COALESCE(failing_since, $6) END
         WHERE id = $1 AND held_until = $2",
    )
    .bind(&webhook.id)
    .bind(webhook.held_until)
    .bind(tried.due_at)
    .bind(tried.result)
    .bind(tried.failed)
    .bind(tried.now)
    .bind(webhook.due_at)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn retry(pool: &Pool, id: &str, now: Timestamp) -> Result<Option<WebhookRow>, Error> {
    let row = sqlx::query("UPDATE webhooks SET due_at = $2, tries = 0, failing_since = NULL WHERE id = $1 RETURNING *");
    row.bind(id).bind(now).fetch_optional(pool).await?.as_ref().map(webhook).transpose()
}

pub(in crate::store) async fn purge(pool: &Pool, delivered: Timestamp, created: Timestamp) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    sqlx::query("DELETE FROM webhook_events WHERE delivered_at < $1").bind(delivered).execute(&mut *tx).await?;
    let gone = sqlx::query(
        "DELETE FROM webhooks WHERE meeting IS NOT NULL AND created_at < $1
         AND NOT EXISTS (SELECT 1 FROM meetings m WHERE m.tenant = webhooks.tenant AND m.ext_id = webhooks.meeting)",
    );
    if gone.bind(created).execute(&mut *tx).await?.rows_affected() > 0 {
        tell(&mut tx, Change::WEBHOOKS).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn webhook(row: &Row) -> Result<WebhookRow, Error> {
    Ok(WebhookRow {
        id: row.try_get("id")?,
        tenant: read::parsed(row, "tenant")?,
        url: row.try_get("url")?,
        meeting: row.try_get::<Option<String>, _>("meeting")?.map(Into::into),
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
