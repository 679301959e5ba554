//! `anteroom usage`: the usage of tenants in a month. With `--config` it is read from the store, and no gateway has to run.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    reach::{Source, Way},
    table::table,
};
use crate::{
    domain::time::Clock,
    usage::{COLUMNS, Month, cells, csv},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// CSV with a header line.
    Csv,
    /// A JSON array of objects.
    Json,
}

/// Selects the month and the output format.
#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(flatten)]
    way: Way,
    /// Month (UTC), such as 2026-11.
    #[arg(long)]
    month: Month,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Reads and formats the usage.
pub(super) async fn print(order: Order) -> Result<String, String> {
    let (from, to) = order.month.days();
    let rows: Vec<Value> = match order.way.source().await? {
        Source::Store(store) => {
            let rows = store.usage().by_day(&from, &to, Clock::system().now()).await.map_err(|error| error.to_string());
            store.close().await;
            rows?.iter().map(cells).collect()
        }
        Source::Gateway(gateway) => {
            let mut answer = gateway.get(&format!("/api/usage?month={}", &from[..7])).await?;
            match answer["usage"].take() {
                Value::Array(rows) => rows,
                _ => return Err("the answer of the gateway has no usage".into()),
            }
        }
    };
    Ok(match order.format {
        Format::Table => table(&rows, &COLUMNS),
        Format::Csv => csv(&rows),
        Format::Json => format!("{:#}", Value::Array(rows)),
    })
}
