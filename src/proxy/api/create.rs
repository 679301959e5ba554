//! `create`: read and checked here, made by `meetings::create`.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{documents::Found, verified::Verified};
use crate::{
    bbb::{answer::Failure, meeting_id as ids, params, validate},
    domain::{denial::Denial, limits::Limit, placement::expected, tenant::Tenant},
    meetings::{
        breakouts::made,
        callbacks::take,
        create::{self, Created, Order},
    },
    metrics::{Call, Outcome},
    proxy::{answer::Answer, gateway::Gateway},
};

/// Answers `create`.
pub(super) async fn create(gateway: &Gateway, mut call: Verified) -> Answer {
    let order = match order(gateway, &mut call) {
        Ok(order) => order,
        Err(failure) => return Answer::failure(Call::Create, failure),
    };
    if let Err(failure) = check(gateway, &order).await {
        return Answer::failure(Call::Create, failure);
    }
    // On its own, so that a caller who goes away leaves no reservation behind. The body is charged for until then.
    let (meetings, context) = (Arc::clone(&gateway.meetings), call.asked.context());
    let created = async move {
        let created = create::create(&meetings, &order).await;
        drop(call);
        created
    };
    let created = tokio::spawn(context.scope(created.in_current_span()));
    answer(created.await.unwrap_or_else(|_| Denial::StoreUnavailable.into()))
}

fn answer(Created { server, answer }: Created) -> Answer {
    let mut answer = match answer {
        Ok(answer) => {
            let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
            Answer::xml(Call::Create, outcome, answer.body)
        }
        Err(denial) => Answer::denied(Call::Create, denial),
    };
    answer.server = server;
    answer
}

/// What a call asks for.
fn order(gateway: &Gateway, call: &mut Verified) -> Result<Order, Failure> {
    let asked = &call.asked;
    let tenant = &asked.tenant;
    validate::create(&params::seen(&tenant.rules.create, &call.params))?;
    let ext_id = call.params.get("meetingID").ok_or(Failure::MEETING_ID_INVALID)?.to_owned();
    let (modules, documents) = call.modules.take().map_or((None, 0), |(xml, documents)| (Some(xml), documents));
    let mut defaults = Vec::new();
    if tenant.limits.branding {
        let brings_slides = documents > 0 || call.params.get("preUploadedPresentation").is_some();
        defaults = tenant.branding.of_create(&asked.authority, brings_slides);
    }
    // BBB's own default is the server.
    defaults.push(("logoutURL", format!("https://{}/", asked.authority)));
    let params::Create { mut params, participants, size_hint, records } =
        params::create(&call.params, &tenant.limits, &tenant.rules, &defaults)?;
    let server_meeting_id = ids::to_server(&tenant.id, &ext_id);
    params.set("meetingID", &*server_meeting_id);
    let signed = (&*asked.authority, &*call.secret);
    let callbacks = take::take(&gateway.meetings.callbacks, tenant, signed, &call.params, &mut params);
    let account = match &tenant.account_param {
        Some(name) => call.params.get(name).unwrap_or("").to_owned(),
        None => call.credential.to_string(),
    };
    Ok(Order {
        directory: Arc::clone(&asked.directory),
        tenant: Arc::clone(tenant),
        caller: asked.caller(),
        now: asked.now,
        ext_id,
        server_meeting_id,
        account,
        given: std::mem::take(&mut call.params),
        params,
        modules,
        documents,
        expected: expected(size_hint, participants),
        participants: match participants {
            Limit::AtMost(n) => Some(n),
            Limit::Unlimited => None,
        },
        records,
        callbacks,
    })
}

/// Looks whether a breakout room of the tenant has the id, and where the names of the documents' hosts lead.
async fn check(gateway: &Gateway, order: &Order) -> Result<(), Failure> {
    let tenant = &order.tenant;
    if made::known(&gateway.meetings, &tenant.id, &order.ext_id).is_some() {
        return Err(Failure::ID_NOT_UNIQUE);
    }
    let mut addresses: Vec<String> = Vec::new();
    addresses.extend(params::fetched(&order.given, &order.params, &tenant.rules).map(str::to_owned));
    if let Some(modules) = &order.modules {
        addresses.extend(Found::read(modules, tenant)?.addresses);
    }
    check_names(gateway, tenant, &addresses).await
}

/// Looks where the names of the documents' hosts lead.
pub(super) async fn check_names(gateway: &Gateway, tenant: &Tenant, addresses: &[String]) -> Result<(), Failure> {
    if addresses.is_empty() {
        return Ok(());
    }
    gateway.names.check(addresses, &tenant.hosts).await
}
