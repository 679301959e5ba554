//! Finds the admin API of a running gateway: by its configuration, with a token made by the key in its store, or by an
//! address and a token.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use http::{
    Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;

use crate::{
    admin::token::{Bearer, Scope},
    app::{StartError, tokens, trust_roots},
    config::{Settings, settings},
    domain::backend_error::BackendError,
    domain::time::Clock,
    store::Store,
    upstream::{Body, Connector, Pool, whole},
};

/// Variable with the token for `--url`: other users of the machine can read command lines.
const TOKEN_VARIABLE: &str = "ANTEROOM_TOKEN";
/// Validity of a token for one command.
const TOKEN_VALID: Duration = Duration::from_secs(60);
/// A BBB server has 30 s to end a meeting.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Bound of an answer: enough for ten thousand meetings.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Selects the gateway.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Way {
    /// Configuration directory of the gateway, with listen.admin and the store.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// URL of its admin listener, such as http://127.0.0.1:9000; the token is in ANTEROOM_TOKEN.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// A client of the admin API of one gateway.
pub(super) struct Gateway {
    pool: Pool,
    /// Without a trailing slash.
    url: String,
    token: String,
}

/// Source of data that needs no running gateway.
pub(super) enum Source {
    /// The store of a configuration.
    Store(Store),
    /// A gateway at an address.
    Gateway(Box<Gateway>),
}

impl Way {
    /// Opens the store, or finds the gateway. Reads nothing yet.
    pub(super) async fn source(&self) -> Result<Source, String> {
        match &self.config {
            Some(dir) => Ok(Source::Store(store_of(&settings_of(dir)?).await?)),
            None => Ok(Source::Gateway(Box::new(self.find().await?))),
        }
    }

    /// Finds the gateway. Sends nothing yet.
    pub(super) async fn find(&self) -> Result<Gateway, String> {
        let (url, token) = match (&self.config, &self.url) {
            (Some(dir), _) => by_configuration(dir).await?,
            (None, url) => by_address(url.as_deref().unwrap_or_default())?,
        };
        let roots = trust_roots(None).map_err(|error| error.to_string())?;
        Ok(Gateway { pool: Pool::new(Connector::new(roots)), url, token })
    }
}

async fn by_configuration(dir: &Path) -> Result<(String, String), String> {
    let settings = settings_of(dir)?;
    let address = settings.listen.admin.ok_or("anteroom.toml has no listen.admin: the gateway cannot be operated")?;
    if address.port() == 0 {
        return Err("listen.admin has port 0, so the port of the gateway is unknown: use --url".into());
    }
    let store = store_of(&settings).await?;
    let tokens = tokens(&store).await.map_err(|error| error.to_string())?;
    store.close().await;
    let bearer = Bearer { name: "cli".into(), scope: Scope::Operate };
    Ok((format!("http://{address}"), tokens.issue(&bearer, TOKEN_VALID, Clock::system().now())))
}

fn by_address(url: &str) -> Result<(String, String), String> {
    let parsed: Option<Uri> = url.parse().ok();
    if parsed.is_none_or(|uri| !matches!(uri.scheme_str(), Some("http" | "https"))) {
        return Err(format!("--url {url}: must be an address such as http://127.0.0.1:9000"));
    }
    let token = std::env::var(TOKEN_VARIABLE).map_err(|_| format!("{TOKEN_VARIABLE} is not set"))?;
    Ok((url.trim_end_matches('/').to_owned(), token))
}

/// The settings in `anteroom.toml`.
pub(super) fn settings_of(dir: &Path) -> Result<Settings, String> {
    settings(dir, &Clock::system()).map_err(|faults| StartError::Config(faults).to_string())
}

/// Opens the store of a gateway. Does not create it: the file must belong to the user of the gateway.
pub(super) async fn store_of(settings: &Settings) -> Result<Store, String> {
    if let Some(file) = settings.store_url.reveal().strip_prefix("sqlite:").and_then(|path| path.split('?').next())
        && !Path::new(file).exists()
    {
        return Err(format!("the store {file} does not exist: start the gateway once"));
    }
    Store::open_beside(settings.store_url.reveal()).await.map_err(|error| error.to_string())
}

impl Gateway {
    /// Sends a GET.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        self.call(Method::GET, path, Body::empty()).await
    }

    /// Sends a POST.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.pool.send(request).await.map_err(|error| match error {
                BackendError::Connect => format!("no gateway answers at {}: is it running?", self.url),
                BackendError::Exhausted => "no file handle or port left on this machine".to_owned(),
                BackendError::Broken | BackendError::Timeout | BackendError::TooLong | BackendError::Body(_) => {
                    format!("invalid or broken answer from {}: is it the admin listener?", self.url)
                }
            })?;
            let status = response.status();
            let body = whole(response.into_body(), ANSWER_BYTES_MAX).await;
            let answer: Option<Value> = body.and_then(|body| serde_json::from_slice(&body).ok());
            match answer {
                Some(answer) if status.is_success() => Ok(answer),
                Some(answer) if answer["error"]["message"].is_string() => Err(told(&answer["error"])),
                _ => Err(format!("{} answers with status {}: is it the admin listener?", self.url, status.as_u16())),
            }
        };
        tokio::time::timeout(TIMEOUT, answered)
            .await
            .unwrap_or_else(|_| Err(format!("the gateway at {} does not answer in time", self.url)))
    }
}

fn told(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("key"), text("message"))
}
