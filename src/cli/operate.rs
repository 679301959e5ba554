//! `anteroom server`, `anteroom meeting` and `anteroom tenant`: the admin API of a running gateway, for people.

use clap::{Args, Subcommand, ValueEnum};
use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    reach::Way,
    table::{cell, table},
};
use crate::domain::server_mode::ServerMode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// The gateway's own answer.
    Json,
}

/// Which gateway is meant, and how it is shown what it says.
#[derive(Debug, Args)]
pub(super) struct Asking {
    #[command(flatten)]
    way: Way,
    /// The form of what is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServerAction {
    /// List the servers.
    List(Asking),
    /// Let a server take what comes.
    Enable(OneServer),
    /// Place no new meetings on a server; those that run go on.
    Cordon(OneServer),
    /// Place no new meetings on a server, and disable it when its last meeting has ended.
    Drain(OneServer),
    /// Let nobody join on a server any more, and do not poll it; sockets that are open go on.
    Disable(OneServer),
}

#[derive(Debug, Args)]
pub(super) struct OneServer {
    /// Its key below [servers].
    server: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Subcommand)]
pub(super) enum MeetingAction {
    /// List the meetings that run.
    List {
        /// Those of one tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Those on one server.
        #[arg(long)]
        server: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// End a meeting.
    End {
        /// Whose it is.
        tenant: String,
        /// The tenant's own id of it.
        meeting_id: String,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TenantAction {
    /// List the tenants.
    List(Asking),
    /// Give a tenant no new meeting and no new participant; what runs goes on.
    Suspend(OneTenant),
    /// Resume a tenant. One whose file suspends it stays suspended.
    Resume(OneTenant),
}

#[derive(Debug, Args)]
pub(super) struct OneTenant {
    /// The name of its file.
    tenant: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn server(action: ServerAction) -> Result<String, String> {
    let (OneServer { server, asking }, mode) = match action {
        ServerAction::List(asking) => {
            let columns = ["id", "pool", "mode", "up", "meetings", "seats", "load", "note"];
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

impl Asking {
    async fn list(&self, path: &str, name: &str, columns: &[&str]) -> Result<String, String> {
        let answer = self.way.find().await?.get(path).await?;
        Ok(match self.format {
            Format::Json => answer.to_string(),
            Format::Table => table(answer[name].as_array().map_or(&[], Vec::as_slice), columns),
        })
    }

    async fn change(&self, path: &str, body: &Value, line: impl FnOnce(&Value) -> String) -> Result<String, String> {
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
fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
