//! `anteroom token`: issues a token for the admin API, for remote operators and programs.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::reach::{settings_of, store_of};
use crate::{
    admin::token::{Bearer, Scope},
    app::tokens,
    config::length_of_time,
    domain::time::Clock,
};

/// The log shows the name in each audit line.
const NAME_MAX: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Order {
    /// Configuration directory; its store has the signing key.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Scope of the token.
    #[arg(long, value_enum)]
    scope: Scope,
    /// Name of the operator in audit lines.
    #[arg(long, default_value = "operator", value_parser = name)]
    name: String,
    /// Validity; a token cannot be revoked.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = valid)]
    valid: Duration,
}

/// Issues the token.
pub(super) async fn print(order: &Order) -> Result<String, String> {
    let store = store_of(&settings_of(&order.config)?).await?;
    let tokens = tokens(&store).await.map_err(|error| error.to_string())?;
    store.close().await;
    let bearer = Bearer { name: order.name.clone(), scope: order.scope };
    Ok(tokens.issue(&bearer, order.valid, Clock::system().now()))
}

fn name(text: &str) -> Result<String, String> {
    let legal = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { Ok(text.to_owned()) } else { Err(format!("a name has 1 to {NAME_MAX} visible ASCII characters")) }
}

fn valid(text: &str) -> Result<Duration, String> {
    let valid = length_of_time(text).filter(|valid| !valid.is_zero());
    valid.ok_or_else(|| "must be a length of time, such as \"30d\" or \"12h\"".into())
}
