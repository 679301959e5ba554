//! Certificates, the names that need one, orders and challenges.

use sqlx::{Database, QueryBuilder, Row as _, query::Query};

use super::{BEGIN, Connection, Pool, Row, lock_authority, tell};
use crate::{
    domain::time::Timestamp,
    store::{
        change::Change,
        error::Error,
        rows::{
            CertificateRow, ChallengeRow, DomainFilter, DomainRow, DomainState, Due, KnownCertificate, NewOrder, Spent,
            SpentSince,
        },
    },
};

type Db = <Row as sqlx::Row>::Database;

/// Rows of one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
const ROWS_MAX: usize = 1000;

pub(in crate::store) async fn put(pool: &Pool, row: &CertificateRow, now: Timestamp) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    sqlx::query(
        "INSERT INTO certificates (name, chain, key, issuer, authority, not_before, not_after, version, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET chain = excluded.chain, key = excluded.key, issuer = excluded.issuer,
             authority = excluded.authority, not_before = excluded.not_before, not_after = excluded.not_after,
             version = excluded.version, changed_at = excluded.changed_at",
    )
    .bind(&row.name)
    .bind(&row.chain)
    .bind(&row.key)
    .bind(&row.issuer)
    .bind(&row.authority)
    .bind(row.not_before)
    .bind(row.not_after)
    .bind(row.version)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    tell(&mut tx, Change::CERTIFICATES).await?;
    tx.commit().await?;
    Ok(())
}

pub(in crate::store) async fn remove(pool: &Pool, name: &str, version: i64, now: Timestamp) -> Result<bool, Error> {
    let removed = sqlx::query(
        "UPDATE certificates SET chain = '', key = $4, not_after = 0, version = version + 1, changed_at = $3
         WHERE name = $1 AND version = $2 AND chain <> ''",
    );
    change(pool, removed.bind(name).bind(version).bind(now).bind(&b""[..])).await
}

pub(in crate::store) async fn expire(pool: &Pool, name: &str, version: i64, now: Timestamp) -> Result<bool, Error> {
    let expired = sqlx::query(
        "UPDATE certificates SET not_before = CASE WHEN not_before < $3 THEN not_before ELSE $3 END, not_after = $3,
             version = version + 1, changed_at = $3
         WHERE name = $1 AND version = $2 AND chain <> ''",
    );
    change(pool, expired.bind(name).bind(version).bind(now)).await
}

/// Makes a change, and tells it where there was something to change. Returns whether there was.
async fn change(pool: &Pool, change: Query<'_, Db, <Db as Database>::Arguments>) -> Result<bool, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let is_changed = change.execute(&mut *tx).await?.rows_affected() > 0;
    if is_changed {
        tell(&mut tx, Change::CERTIFICATES).await?;
    }
    tx.commit().await?;
    Ok(is_changed)
}

pub(in crate::store) async fn certificate(pool: &Pool, name: &str) -> Result<Option<CertificateRow>, Error> {
    let row = sqlx::query("SELECT * FROM certificates WHERE name = $1 AND chain <> ''").bind(name);
    let Some(row) = row.fetch_optional(pool).await? else { return Ok(None) };
    Ok(Some(CertificateRow {
        name: row.try_get("name")?,
        chain: row.try_get("chain")?,
        key: row.try_get("key")?,
        issuer: row.try_get("issuer")?,
        authority: row.try_get("authority")?,
        not_before: row.try_get("not_before")?,
        not_after: row.try_get("not_after")?,
        version: row.try_get("version")?,
    }))
}

pub(in crate::store) async fn reseal(pool: &Pool, name: &str, version: i64, key: &[u8]) -> Result<(), Error> {
    let update = sqlx::query("UPDATE certificates SET key = $3 WHERE name = $1 AND version = $2 AND chain <> ''");
    update.bind(name).bind(version).bind(key).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn changed_since(pool: &Pool, at: Timestamp) -> Result<Vec<KnownCertificate>, Error> {
    let rows = sqlx::query(
        "SELECT name, not_after, version, chain = '' AS is_removed, changed_at FROM certificates
         WHERE changed_at >= $1 ORDER BY changed_at",
    );
    let known = |row: &Row| -> Result<KnownCertificate, Error> {
        Ok(KnownCertificate {
            name: row.try_get("name")?,
            not_after: row.try_get("not_after")?,
            version: row.try_get("version")?,
            is_removed: row.try_get("is_removed")?,
            changed_at: row.try_get("changed_at")?,
        })
    };
    rows.bind(at).fetch_all(pool).await?.iter().map(known).collect()
}

pub(in crate::store) async fn forget_gone(pool: &Pool, before: Timestamp, now: Timestamp) -> Result<u64, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let marked = sqlx::query(
        "UPDATE certificates SET chain = '', key = $1, not_after = 0, version = version + 1, changed_at = $2
         WHERE chain <> '' AND name IN (SELECT name FROM domains WHERE gone_at IS NOT NULL AND gone_at < $3)",
    );
    let marked = marked.bind(&b""[..]).bind(now).bind(before).execute(&mut *tx).await?.rows_affected();
    let gone = sqlx::query("DELETE FROM domains WHERE gone_at IS NOT NULL AND gone_at < $1");
    let gone = gone.bind(before).execute(&mut *tx).await?.rows_affected();
    let removed = sqlx::query("DELETE FROM certificates WHERE changed_at < $1 AND chain = ''");
    removed.bind(before).execute(&mut *tx).await?;
    if marked > 0 {
        tell(&mut tx, Change::CERTIFICATES).await?;
    }
    tx.commit().await?;
    Ok(gone)
}

pub(in crate::store) async fn add_domains(pool: &Pool, rows: &[DomainRow]) -> Result<(), Error> {
    // In pieces, each a transaction: a SQLite has one writer, and others wait for it.
    for rows in rows.chunks(ROWS_MAX) {
        let mut insert =
            QueryBuilder::<Db>::new("INSERT INTO domains (name, tenant, state, since, next_at, good_until) ");
        insert.push_values(rows, |mut values, row| {
            values
                .push_bind(&row.name)
                .push_bind(&row.tenant)
                .push_bind(row.state.as_str())
                .push_bind(row.since)
                .push_bind(row.next_at)
                .push_bind(row.good_until);
        });
        insert.push(" ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, gone_at = NULL");
        insert.build().execute(pool).await?;
    }
    Ok(())
}

pub(in crate::store) async fn drop_domains(pool: &Pool, names: &[String], now: Timestamp) -> Result<(), Error> {
    for names in names.chunks(ROWS_MAX) {
        let mut update = QueryBuilder::<Db>::new("UPDATE domains SET gone_at = ");
        update.push_bind(now).push(" WHERE gone_at IS NULL AND name IN (");
        let mut listed = update.separated(", ");
        for name in names {
            listed.push_bind(name);
        }
        update.push(")");
        update.build().execute(pool).await?;
    }
    Ok(())
}

pub(in crate::store) async fn domain_names(pool: &Pool) -> Result<Vec<(String, String)>, Error> {
    let rows = sqlx::query("SELECT name, tenant FROM domains WHERE gone_at IS NULL").fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

pub(in crate::store) async fn domain(pool: &Pool, name: &str) -> Result<Option<DomainRow>, Error> {
    let row = sqlx::query("SELECT * FROM domains WHERE name = $1 AND gone_at IS NULL").bind(name);
    row.fetch_optional(pool).await?.as_ref().map(read_domain).transpose()
}

pub(in crate::store) async fn domains(pool: &Pool, filter: DomainFilter<'_>) -> Result<Vec<DomainRow>, Error> {
    let mut select = QueryBuilder::<Db>::new("SELECT * FROM domains WHERE gone_at IS NULL AND name > ");
    select.push_bind(filter.after);
    if let Some(tenant) = filter.tenant {
        select.push(" AND tenant = ").push_bind(tenant);
    }
    if let Some(state) = filter.state {
        select.push(" AND state = ").push_bind(state.as_str());
    }
    select.push(" ORDER BY name LIMIT ").push_bind(i64::from(filter.most));
    select.build().fetch_all(pool).await?.iter().map(read_domain).collect()
}

pub(in crate::store) async fn due_domains(pool: &Pool, now: Timestamp, due: Due) -> Result<Vec<DomainRow>, Error> {
    // As the indexes are: one for each kind.
    let rows = match due.have_certificate {
        true => {
            "SELECT * FROM domains WHERE gone_at IS NULL AND good_until <> 0 AND next_at <= $1
             ORDER BY good_until, next_at, name LIMIT $2"
        }
        // Those that were never looked at do not wait behind all that wait for DNS.
        false => {
            "SELECT * FROM (SELECT * FROM (
                 SELECT * FROM domains WHERE gone_at IS NULL AND good_until = 0 AND state = 'configured' AND next_at <= $1
                 ORDER BY next_at, name LIMIT $2
             ) AS new
             UNION ALL SELECT * FROM (
                 SELECT * FROM domains WHERE gone_at IS NULL AND good_until = 0 AND state <> 'configured' AND next_at <= $1
                 ORDER BY next_at, name LIMIT $2
             ) AS others) AS due ORDER BY state <> 'configured', next_at, name LIMIT $2"
        }
    };
    let rows = sqlx::query(rows).bind(now).bind(i64::from(due.most));
    rows.fetch_all(pool).await?.iter().map(read_domain).collect()
}

pub(in crate::store) async fn next_due(pool: &Pool) -> Result<Option<Timestamp>, Error> {
    let row = sqlx::query(
        "SELECT MIN(first) FROM (
             SELECT MIN(next_at) AS first FROM domains WHERE gone_at IS NULL AND good_until <> 0 UNION ALL
             SELECT MIN(next_at) AS first FROM domains WHERE gone_at IS NULL AND good_until = 0) AS kinds",
    );
    Ok(row.fetch_one(pool).await?.try_get(0)?)
}

pub(in crate::store) async fn set_domain(pool: &Pool, row: &DomainRow) -> Result<(), Error> {
    sqlx::query(
        "UPDATE domains SET state = $2, since = $3, reason = $4, found = $5, expected = $6, failures = $7,
                            next_at = $8, good_until = $9, authority = $10, owner = $11, progress = $12, renew_at = $13
         WHERE name = $1",
    )
    .bind(&row.name)
    .bind(row.state.as_str())
    .bind(row.since)
    .bind(&row.reason)
    .bind(&row.found)
    .bind(&row.expected)
    .bind(i64::from(row.failures))
    .bind(row.next_at)
    .bind(row.good_until)
    .bind(&row.authority)
    .bind(&row.owner)
    .bind(&row.progress)
    .bind(row.renew_at)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn retry_domain(pool: &Pool, name: &str, at: Timestamp) -> Result<bool, Error> {
    let update = sqlx::query(
        "UPDATE domains SET next_at = $2, failures = 0 WHERE name = $1 AND gone_at IS NULL AND state <> $3",
    );
    let done = update.bind(name).bind(at).bind(DomainState::Ordering.as_str()).execute(pool).await?;
    Ok(done.rows_affected() > 0)
}

pub(in crate::store) async fn hurry_domain(pool: &Pool, name: &str, at: Timestamp) -> Result<bool, Error> {
    let update = sqlx::query(
        "UPDATE domains SET next_at = $2 WHERE name = $1 AND gone_at IS NULL AND next_at > $2 AND state IN ($3, $4)",
    );
    let (configured, waiting) = (DomainState::Configured.as_str(), DomainState::WaitingForDns.as_str());
    let done = update.bind(name).bind(at).bind(configured).bind(waiting).execute(pool).await?;
    Ok(done.rows_affected() > 0)
}

pub(in crate::store) async fn take_over_orders(pool: &Pool, gateway: &str, now: Timestamp) -> Result<u64, Error> {
    let update =
        sqlx::query("UPDATE domains SET next_at = $3, owner = $2 WHERE state = $1 AND gone_at IS NULL AND owner <> $2");
    let done = update.bind(DomainState::Ordering.as_str()).bind(gateway).bind(now).execute(pool).await?;
    Ok(done.rows_affected())
}

pub(in crate::store) async fn count_states(pool: &Pool) -> Result<Vec<(DomainState, u64)>, Error> {
    let rows = sqlx::query("SELECT state, COUNT(*) FROM domains WHERE gone_at IS NULL GROUP BY state");
    let count = |row: &Row| -> Result<_, Error> { Ok((state_of(row.try_get(0)?)?, number(row, 1)?)) };
    rows.fetch_all(pool).await?.iter().map(count).collect()
}

pub(in crate::store) async fn overdue(
    pool: &Pool,
    now: Timestamp,
    before: Timestamp,
    most: u32,
) -> Result<(Vec<DomainRow>, u64), Error> {
    let rows = sqlx::query(
        "SELECT * FROM domains WHERE gone_at IS NULL AND good_until > 0 AND good_until < $2
             AND good_until - $1 < $1 - renew_at ORDER BY good_until LIMIT $3",
    );
    let rows = rows.bind(now).bind(before).bind(i64::from(most)).fetch_all(pool).await?;
    let all = sqlx::query(
        "SELECT COUNT(*) FROM domains WHERE gone_at IS NULL AND good_until > 0 AND good_until < $2
             AND good_until - $1 < $1 - renew_at",
    );
    let all = number(&all.bind(now).bind(before).fetch_one(pool).await?, 0)?;
    Ok((rows.iter().map(read_domain).collect::<Result<_, _>>()?, all))
}

pub(in crate::store) async fn note_order<E>(
    pool: &Pool,
    order: NewOrder<'_>,
    since: SpentSince,
    decide: impl FnOnce(Spent) -> Result<(), E>,
) -> Result<Result<i64, E>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    lock_authority(&mut tx, order.authority).await?;
    if let Err(refused) = decide(spent(&mut tx, order, since).await?) {
        tx.rollback().await?;
        return Ok(Err(refused));
    }
    let row = sqlx::query(
        "INSERT INTO certificate_orders (authority, name, registered, at, is_exempt) VALUES ($1, $2, $3, $4, $5)
         RETURNING id",
    );
    let row = row.bind(order.authority).bind(order.name).bind(order.registered).bind(order.at).bind(order.is_exempt);
    let number = row.fetch_one(&mut *tx).await?.try_get(0)?;
    tx.commit().await?;
    Ok(Ok(number))
}

pub(in crate::store) async fn note_failed(pool: &Pool, order: i64, now: Timestamp) -> Result<(), Error> {
    let update = sqlx::query("UPDATE certificate_orders SET failed_at = $2 WHERE id = $1");
    update.bind(order).bind(now).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn note_issued(pool: &Pool, authority: &str, name: &str) -> Result<(), Error> {
    let update = sqlx::query(
        "UPDATE certificate_orders SET failed_at = NULL
         WHERE id = (SELECT MAX(id) FROM certificate_orders WHERE authority = $1 AND name = $2)",
    );
    update.bind(authority).bind(name).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn forget_order(pool: &Pool, order: i64) -> Result<(), Error> {
    sqlx::query("DELETE FROM certificate_orders WHERE id = $1").bind(order).execute(pool).await?;
    Ok(())
}

async fn spent(tx: &mut Connection, order: NewOrder<'_>, since: SpentSince) -> Result<Spent, Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM certificate_orders WHERE authority = $1 AND at > $4 AND NOT is_exempt),
                (SELECT COUNT(*) FROM certificate_orders
                 WHERE authority = $1 AND registered = $2 AND at > $5 AND NOT is_exempt AND failed_at IS NULL),
                (SELECT COUNT(*) FROM certificate_orders
                 WHERE authority = $1 AND name = $3 AND at > $5 AND NOT is_exempt AND failed_at IS NULL),
                (SELECT COUNT(*) FROM certificate_orders
                 WHERE authority = $1 AND name = $3 AND at > $5 AND failed_at > $6)",
    )
    .bind(order.authority)
    .bind(order.registered)
    .bind(order.name)
    .bind(since.of_account)
    .bind(since.of_domain)
    .bind(since.failures)
    .fetch_one(tx)
    .await?;
    let count = |column| -> Result<u32, Error> { Ok(u32::try_from(number(&row, column)?).unwrap_or(u32::MAX)) };
    Ok(Spent { of_account: count(0)?, of_domain: count(1)?, of_name: count(2)?, failures_of_name: count(3)? })
}

pub(in crate::store) async fn forget_orders(pool: &Pool, before: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM certificate_orders WHERE at < $1").bind(before).execute(pool).await?;
    sqlx::query("DELETE FROM certificate_challenges WHERE until < $1").bind(before).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn open_challenge(pool: &Pool, row: &ChallengeRow) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let insert = sqlx::query(
        "INSERT INTO certificate_challenges (host, key_authorization, until) VALUES ($1, $2, $3)
         ON CONFLICT (host) DO UPDATE SET key_authorization = excluded.key_authorization, until = excluded.until",
    );
    insert.bind(&row.host).bind(&row.key_authorization).bind(row.until).execute(&mut *tx).await?;
    tell(&mut tx, Change::CHALLENGES).await?;
    tx.commit().await?;
    Ok(())
}

pub(in crate::store) async fn close_challenge(pool: &Pool, host: &str) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    sqlx::query("DELETE FROM certificate_challenges WHERE host = $1").bind(host).execute(&mut *tx).await?;
    tell(&mut tx, Change::CHALLENGES).await?;
    tx.commit().await?;
    Ok(())
}

pub(in crate::store) async fn challenge(pool: &Pool, host: &str) -> Result<Option<ChallengeRow>, Error> {
    let row = sqlx::query("SELECT * FROM certificate_challenges WHERE host = $1").bind(host);
    row.fetch_optional(pool).await?.as_ref().map(read_challenge).transpose()
}

pub(in crate::store) async fn challenges(pool: &Pool, now: Timestamp, most: u32) -> Result<Vec<ChallengeRow>, Error> {
    let rows = sqlx::query("SELECT * FROM certificate_challenges WHERE until > $1 ORDER BY until DESC LIMIT $2");
    rows.bind(now).bind(i64::from(most)).fetch_all(pool).await?.iter().map(read_challenge).collect()
}

pub(in crate::store) async fn sealed_key(pool: &Pool, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Error> {
    let insert = sqlx::query("INSERT INTO sealed_keys (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    insert.bind(name).bind(fresh).execute(pool).await?;
    let row = sqlx::query("SELECT value FROM sealed_keys WHERE name = $1").bind(name).fetch_one(pool).await?;
    Ok(row.try_get(0)?)
}

pub(in crate::store) async fn reseal_key(pool: &Pool, name: &str, old: &[u8], new: &[u8]) -> Result<(), Error> {
    let update = sqlx::query("UPDATE sealed_keys SET value = $3 WHERE name = $1 AND value = $2");
    update.bind(name).bind(old).bind(new).execute(pool).await?;
    Ok(())
}

fn read_challenge(row: &Row) -> Result<ChallengeRow, Error> {
    Ok(ChallengeRow {
        host: row.try_get("host")?,
        key_authorization: row.try_get("key_authorization")?,
        until: row.try_get("until")?,
    })
}

fn read_domain(row: &Row) -> Result<DomainRow, Error> {
    Ok(DomainRow {
        name: row.try_get("name")?,
        tenant: row.try_get("tenant")?,
        state: state_of(row.try_get("state")?)?,
        since: row.try_get("since")?,
        reason: row.try_get("reason")?,
        found: row.try_get("found")?,
        expected: row.try_get("expected")?,
        failures: u32::try_from(row.try_get::<i64, _>("failures")?).map_err(|_| Error::impossible("failures"))?,
        next_at: row.try_get("next_at")?,
        good_until: row.try_get("good_until")?,
        renew_at: row.try_get("renew_at")?,
        authority: row.try_get("authority")?,
        owner: row.try_get("owner")?,
        progress: row.try_get("progress")?,
    })
}

fn state_of(word: &str) -> Result<DomainState, Error> {
    DomainState::read(word).ok_or_else(|| Error::impossible("state"))
}

/// A count, in a column.
fn number(row: &Row, column: usize) -> Result<u64, Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
