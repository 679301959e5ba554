//! [`Account`]: our account at a CA, found by its key or registered.
//!
//! The account is asked for first, by the key alone: the credentials of an external account are good for one registration at some
//! CAs. Where there is none, it is registered with contact and external account; the request is idempotent.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use instant_acme::{BodyWrapper, Error, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Authority, Limits,
    account_key::AccountKey,
    answers::Seen,
    directory::Directory,
    failure::{Asked, Failure, FailureKind},
    transport::Transport,
    tries::tried,
};

/// An account at one CA. Clones are the same account.
#[derive(Clone)]
pub struct Account {
    pub(super) inner: instant_acme::Account,
    pub(super) key: AccountKey,
}

impl Account {
    /// The address by which the CA knows the account.
    #[must_use]
    pub fn id(&self) -> &str {
        self.inner.id()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id()).field("key", &self.key).finish()
    }
}

/// Finds or registers the account of a key. Returns whether the CA shows other contacts than those of the configuration, too.
pub(super) async fn open(
    ca: &Authority,
    directory: &Directory,
    transport: &Transport,
    limits: Limits,
    key: &AccountKey,
) -> Result<(Account, bool), Failure> {
    let registrar = Registrar { ca, directory, transport, limits, key };
    let (id, is_dated) = match registrar.ask(&json!({ "onlyReturnExisting": true })).await {
        Ok((id, mut contact)) => {
            let mut wanted = ca.contact.clone();
            contact.sort_unstable();
            wanted.sort_unstable();
            (id, contact != wanted)
        }
        // What a CA says where there is no account differs; the registration tells what is wrong.
        Err(failure) if matches!(failure.kind, FailureKind::Account | FailureKind::Refused) => {
            let registered = registrar.ask(&registrar.registration()?).await;
            (registered.map_err(|failure| advised(failure, ca))?.0, false)
        }
        Err(failure) => return Err(failure),
    };
    let builder = || instant_acme::Account::builder_with_http(Box::new(transport.clone()));
    let opened = tried!(limits, Asked::Directory, builder().from_parts(id.clone(), key.pkcs8(), ca.directory.clone()));
    let (inner, _) = opened?;
    Ok((Account { inner, key: key.clone() }, is_dated))
}

/// Has the CA take over the contacts of the configuration.
pub(super) async fn tell_contact(account: &Account, ca: &Authority, limits: Limits) -> Result<(), Failure> {
    let contact: Vec<&str> = ca.contact.iter().map(String::as_str).collect();
    tried!(limits, Asked::Account, account.inner.update_contacts(&contact)).map(drop)
}

/// With what the operator can do about an account that is not taken.
fn advised(mut failure: Failure, ca: &Authority) -> Failure {
    let advice = match &ca.external_account {
        _ if failure.kind != FailureKind::Account => "",
        Some(_) => "; check id and key of its external_account",
        None if failure.problem == "externalAccountRequired" => "; set external_account for it",
        None => "",
    };
    failure.text.push_str(advice);
    failure
}

struct Registrar<'a> {
    ca: &'a Authority,
    directory: &'a Directory,
    transport: &'a Transport,
    limits: Limits,
    key: &'a AccountKey,
}

/// An account as the CA describes it.
#[derive(Default, Deserialize)]
struct Described {
    status: Option<String>,
    #[serde(default)]
    contact: Vec<String>,
}

impl Registrar<'_> {
    fn registration(&self) -> Result<Value, Failure> {
        let mut payload = json!({ "termsOfServiceAgreed": true });
        if !self.ca.contact.is_empty() {
            payload["contact"] = json!(self.ca.contact);
        }
        if let Some(external) = &self.ca.external_account {
            payload["externalAccountBinding"] = self.key.binding(external, &self.directory.new_account)?;
        }
        Ok(payload)
    }

    /// Sends `newAccount`; returns the address of the account, and its contacts as far as the CA shows them.
    async fn ask(&self, payload: &Value) -> Result<(String, Vec<String>), Failure> {
        let ((headers, body), _) = tried!(self.limits, Asked::Account, self.ask_once(payload))?;
        let Described { status, contact } = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(status) = status.filter(|status| status != "valid") {
            let text = format!("the account at the CA is {}", super::failure::printable(&status));
            return Err(Failure::new(FailureKind::Account, text));
        }
        let id = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let id = id.ok_or_else(|| Failure::of(Asked::Account, &Error::Str("it has no address"), Seen::default()))?;
        Ok((id, contact))
    }

    async fn ask_once(&self, payload: &Value) -> Result<(HeaderMap, Bytes), Error> {
        let url = &self.directory.new_account;
        let body = self.key.sign(payload, &self.nonce().await?, url).ok_or(Error::Crypto)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/jose+json")
            .body(BodyWrapper::from(body))?;
        self.send(request).await
    }

    async fn nonce(&self) -> Result<String, Error> {
        let request = Request::head(&self.directory.new_nonce).body(BodyWrapper::default())?;
        let (headers, _) = self.send(request).await?;
        let nonce = headers.get("replay-nonce").and_then(|value| value.to_str().ok());
        nonce.map(str::to_owned).ok_or(Error::Str("no nonce"))
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<(HeaderMap, Bytes), Error> {
        checked(self.transport.exchange(request).await.map_err(|error| Error::Other(Box::new(error)))?)
    }
}

/// The head and body of an answer that is a success, else the problem in it.
pub(super) fn checked(answer: Response<Bytes>) -> Result<(HeaderMap, Bytes), Error> {
    let (head, body) = answer.into_parts();
    if head.status.is_success() {
        return Ok((head.headers, body));
    }
    Err(serde_json::from_slice::<Problem>(&body)?.into())
}
