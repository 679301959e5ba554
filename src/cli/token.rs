//! `anteroom token`: a token for those who operate a gateway from elsewhere, or by a program.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::reach::{settings_of, store_of};
use crate::{
    admin::token::{Bearer, Scope},
    app::tokens,
    config::length_of_time,
    domain::time::Clock,
};

/// The log shows it in each line about a change.
const NAME_MAX: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Order {
    /// The directory of the configuration, whose store has the key.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// What the token admits to.
    #[arg(long, value_enum)]
    scope: Scope,
    /// Who the log says it was that changed something.
    #[arg(long, default_value = "operator", value_parser = name)]
    name: String,
    /// How long it is good: it cannot be taken back.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = valid)]
    valid: Duration,
}

/// The token.
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
