//! `anteroom server`, `anteroom meeting`, `anteroom tenant`, `anteroom callback` and `anteroom webhook`: commands on the admin
//! API of a running gateway.

use clap::{Args, Subcommand, ValueEnum};
use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    reach::Way,
    table::{cell, table},
};
use crate::domain::{callback::State, server_mode::ServerMode};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// The answer of the admin API.
    Json,
}

/// Selects the gateway and the output format.
#[derive(Debug, Args)]
pub(super) struct Asking {
    #[command(flatten)]
    way: Way,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServerAction {
    /// List the BBB servers.
    List(Asking),
    /// Enable a server: accept meetings and participants.
    Enable(OneServer),
    /// Cordon a server: no new meetings; running ones continue.
    Cordon(OneServer),
    /// Drain a server: no new meetings; disabled when the last one has ended.
    Drain(OneServer),
    /// Disable a server: no meetings, no joins and no health checks; open sockets continue.
    Disable(OneServer),
}

#[derive(Debug, Args)]
pub(super) struct OneServer {
    /// Key of the server in [servers].
    server: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Subcommand)]
pub(super) enum MeetingAction {
    /// List running meetings.
    List {
        /// Only meetings of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Only meetings on this server.
        #[arg(long)]
        server: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// End a meeting on its server.
    End {
        /// Tenant of the meeting.
        tenant: String,
        /// The meetingID that the tenant gave it.
        meeting_id: String,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TenantAction {
    /// List the tenants.
    List(Asking),
    /// Suspend a tenant: no new meetings or participants; running meetings continue.
    Suspend(OneTenant),
    /// Resume a tenant; `suspended = true` in its file still applies.
    Resume(OneTenant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CallbackState {
    /// To be delivered.
    Waiting,
    /// Delivered.
    Delivered,
    /// Not tried any more.
    GivenUp,
}

#[derive(Debug, Subcommand)]
pub(super) enum CallbackAction {
    /// List callbacks of BBB servers to tenants.
    List {
        /// Only callbacks of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Only callbacks in this state.
        #[arg(long, value_enum, default_value_t = CallbackState::Waiting)]
        state: CallbackState,
        #[command(flatten)]
        asking: Asking,
    },
    /// Try a callback now that is not delivered.
    Retry {
        /// Its id in the list.
        id: i64,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WebhookAction {
    /// List webhooks of tenants.
    List {
        /// Only webhooks of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Try the events of a webhook now.
    Retry(OneWebhook),
    /// Remove a webhook, with the events that wait for it.
    Remove(OneWebhook),
}

#[derive(Debug, Args)]
pub(super) struct OneWebhook {
    /// Its id in the list.
    id: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct OneTenant {
    /// Name of its file, without .toml.
    tenant: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn server(action: ServerAction) -> Result<String, String> {
    let (OneServer { server, asking }, mode) = match action {
        ServerAction::List(asking) => {
            let columns = ["id", "pool", "mode", "up", "version", "meetings", "seats", "load", "note", "warnings"];
            return asking.list("/api/servers", "servers", &columns).await;
        }
        ServerAction::Enable(one) => (one, ServerMode::Enabled),
        ServerAction::Cordon(one) => (one, ServerMode::Cordoned),
        ServerAction::Drain(one) => (one, ServerMode::Draining),
        ServerAction::Disable(one) => (one, ServerMode::Disabled),
    };
    let path = format!("/api/servers/{}/mode", segment(&server));
    asking.change(&path, &json!({ "mode": mode.as_str() }), of_server).await
}

pub(super) async fn meeting(action: MeetingAction) -> Result<String, String> {
    match action {
        MeetingAction::List { tenant, server, asking } => {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(tenant.map(|id| ("tenant", id)));
            query.extend_pairs(server.map(|id| ("server", id)));
            let columns =
                ["tenant", "meeting_id", "account", "server", "created_at", "seats", "present", "participants"];
            asking.list(&format!("/api/meetings?{}", query.finish()), "meetings", &columns).await
        }
        MeetingAction::End { tenant, meeting_id, asking } => {
            let body = json!({ "tenant": tenant, "meeting_id": meeting_id });
            asking.change("/api/meetings/end", &body, |_| "the meeting has ended".into()).await
        }
    }
}

pub(super) async fn tenant(action: TenantAction) -> Result<String, String> {
    let (OneTenant { tenant, asking }, what) = match action {
        TenantAction::List(asking) => {
            let columns = ["id", "name", "policy", "meetings", "suspended_by", "hosts"];
            return asking.list("/api/tenants", "tenants", &columns).await;
        }
        TenantAction::Suspend(one) => (one, "suspend"),
        TenantAction::Resume(one) => (one, "resume"),
    };
    asking.change(&format!("/api/tenants/{}/{what}", segment(&tenant)), &json!({}), of_tenant).await
}

pub(super) async fn callback(action: CallbackAction) -> Result<String, String> {
    match action {
        CallbackAction::List { tenant, state, asking } => {
            let state = match state {
                CallbackState::Waiting => State::Waiting,
                CallbackState::Delivered => State::Delivered,
                CallbackState::GivenUp => State::GivenUp,
            };
            let mut query = Serializer::new(String::new());
            query.extend_pairs(tenant.map(|id| ("tenant", id))).append_pair("state", state.as_str());
            let columns =
                ["id", "tenant", "meeting_id", "parameter", "receiver", "received_at", "due_at", "tries", "result"];
            asking.list(&format!("/api/callbacks?{}", query.finish()), "callbacks", &columns).await
        }
        CallbackAction::Retry { id, asking } => {
            let line = |row: &Value| format!("callback {} is tried now", cell(&row["id"]));
            asking.change(&format!("/api/callbacks/{id}/retry"), &json!({}), line).await
        }
    }
}

pub(super) async fn webhook(action: WebhookAction) -> Result<String, String> {
    match action {
        WebhookAction::List { tenant, asking } => {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(tenant.map(|id| ("tenant", id)));
            let columns = [
                "id",
                "tenant",
                "meeting_id",
                "receiver",
                "created_at",
                "waiting",
                "due_at",
                "tries",
                "failing_since",
                "result",
            ];
            asking.list(&format!("/api/webhooks?{}", query.finish()), "webhooks", &columns).await
        }
        WebhookAction::Retry(OneWebhook { id, asking }) => {
            let line = |row: &Value| format!("webhook {} is tried now", cell(&row["id"]));
            asking.change(&format!("/api/webhooks/{}/retry", segment(&id)), &json!({}), line).await
        }
        WebhookAction::Remove(OneWebhook { id, asking }) => {
            let line = |row: &Value| format!("webhook {} of {} is removed", cell(&row["id"]), cell(&row["tenant"]));
            asking.change(&format!("/api/webhooks/{}/remove", segment(&id)), &json!({}), line).await
        }
    }
}

impl Asking {
    async fn list(&self, path: &str, name: &str, columns: &[&str]) -> Result<String, String> {
        let answer = self.way.find().await?.get(path).await?;
        Ok(match self.format {
            Format::Json => answer.to_string(),
            Format::Table => table(answer[name].as_array().map_or(&[], Vec::as_slice), columns),
        })
    }

    /// The same, page by page, as one list.
    pub(super) async fn list_pages(&self, path: &str, name: &str, columns: &[&str]) -> Result<String, String> {
        let gateway = self.way.find().await?;
        let mut rows: Vec<Value> = Vec::new();
        let mut after = String::new();
        loop {
            let mut answer = gateway.get(&format!("{path}{after}")).await?;
            if let Some(page) = answer[name].as_array_mut() {
                rows.append(page);
            }
            let Some(next) = answer["next"].as_str() else { break };
            after = format!("&after={}", segment(next));
        }
        Ok(match self.format {
            Format::Json => json!({ name: rows }).to_string(),
            Format::Table => table(&rows, columns),
        })
    }

    /// One thing.
    pub(super) async fn show(&self, path: &str, lines: impl FnOnce(&Value) -> String) -> Result<String, String> {
        let answer = self.way.find().await?.get(path).await?;
        Ok(match self.format {
            Format::Json => answer.to_string(),
            Format::Table => lines(&answer),
        })
    }

    pub(super) async fn change(
        &self,
        path: &str,
        body: &Value,
        line: impl FnOnce(&Value) -> String,
    ) -> Result<String, String> {
        let answer = self.way.find().await?.post(path, body).await?;
        Ok(match self.format {
            Format::Json => answer.to_string(),
            Format::Table => line(&answer),
        })
    }
}

fn of_server(row: &Value) -> String {
    format!("{} is {}; meetings on it: {}", cell(&row["id"]), cell(&row["mode"]), cell(&row["meetings"]))
}

fn of_tenant(row: &Value) -> String {
    let by = row["suspended_by"].as_array().map_or(&[][..], Vec::as_slice);
    let by: Vec<_> = by.iter().map(|who| if who == "file" { "its file" } else { "the operator" }).collect();
    if by.is_empty() {
        format!("{} is not suspended", cell(&row["id"]))
    } else {
        format!("{} is suspended by {}", cell(&row["id"]), by.join(" and "))
    }
}

/// A name as one part of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
