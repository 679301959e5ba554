//! What is measured beside the gateway: Debian's nginx, HAProxy and Caddy, each in front of the stage's first server, with the
//! gateway's certificate, as `bench/peers/` has them.

use std::{
    fmt, fs, io,
    path::Path,
    process::{Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{HOST, Process, SERVER_SECRET, START_TIMEOUT, Setup, Stage, free_ports, named, pinned};
use crate::load::target::Target;

/// Who carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// The gateway.
    Anteroom,
    /// nginx, which the others are compared with.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Caddy.
    Caddy,
    /// A minimal pingora-proxy, which is built apart (`bench/pingora/`).
    Pingora,
    /// The gateway as another build has it, in front of servers of its own.
    Before,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Anteroom, Self::Nginx, Self::Haproxy, Self::Caddy, Self::Pingora, Self::Before];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Anteroom => "anteroom",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Pingora => "pingora",
            Self::Before => "before",
        }
    }

    /// Program and configuration of a peer; `None` for a gateway.
    fn peer(self) -> Option<Peer> {
        Some(match self {
            Self::Anteroom | Self::Before => return None,
            Self::Nginx => Peer {
                program: Some("/usr/sbin/nginx"),
                file: "nginx.conf",
                config: include_str!("../../../peers/nginx.conf"),
                arguments: &["-c"],
            },
            Self::Haproxy => Peer {
                program: Some("/usr/sbin/haproxy"),
                file: "haproxy.cfg",
                config: include_str!("../../../peers/haproxy.cfg"),
                arguments: &["-db", "-f"],
            },
            Self::Caddy => Peer {
                program: Some("/usr/bin/caddy"),
                file: "Caddyfile",
                config: include_str!("../../../peers/Caddyfile"),
                arguments: &["run", "--adapter", "caddyfile", "--config"],
            },
            Self::Pingora => Peer {
                program: None,
                file: "pingora.conf",
                config: include_str!("../../../peers/pingora.conf"),
                arguments: &[],
            },
        })
    }

    /// Whether its program is on this machine; one that has to be named counts as such.
    #[must_use]
    pub fn is_here(self) -> bool {
        self.peer().and_then(|peer| peer.program).is_none_or(|program| Path::new(program).is_file())
    }

    /// Its program; `None` where it has to be named and is not.
    fn program(self, setup: &Setup) -> Option<&Path> {
        match (self, self.peer()) {
            (Self::Pingora, _) => setup.pingora.as_deref(),
            (_, Some(peer)) => peer.program.map(Path::new),
            (_, None) => Some(&setup.gateway),
        }
    }

    /// What it says of its version, in one line; `None` where it says nothing.
    #[must_use]
    pub fn version(self, setup: &Setup) -> Option<String> {
        let program = self.program(setup)?;
        let argument = match self {
            Self::Anteroom | Self::Before | Self::Pingora => "--version",
            Self::Caddy => "version",
            Self::Nginx | Self::Haproxy => "-v",
        };
        let said = Command::new(program).arg(argument).output();
        let said = said.map(|said| [said.stdout, said.stderr].concat()).ok()?;
        String::from_utf8_lossy(&said).lines().next().map(|line| line.trim().to_owned())
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Carrier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::load::by_name(&Self::ALL, Self::name, text, "program")
    }
}

struct Peer {
    /// Where Debian has it; `None` for one that has to be named.
    program: Option<&'static str>,
    file: &'static str,
    config: &'static str,
    /// Before the name of the configuration.
    arguments: &'static [&'static str],
}

impl Stage {
    /// The process of a carrier and how it is called. A peer is started; the gateway runs already.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn carrier(&mut self, carrier: Carrier, setup: &Setup) -> io::Result<(u32, Target)> {
        let Some((gateway, target)) = self.gateways.first() else {
            return Err(io::Error::other("there is no gateway"));
        };
        let Some(peer) = carrier.peer() else { return Ok((gateway.id(), target.clone())) };
        let [listen, ..] = free_ports()?;
        let dir = self._dir.path().to_owned();
        let certificates = dir.join("certs").join(HOST);
        let [certificate, key] = ["fullchain.pem", "privkey.pem"].map(|name| certificates.join(name));
        let pem = dir.join("both.pem");
        fs::write(&pem, [fs::read(&certificate)?, fs::read(&key)?].concat())?;
        let config = [
            ("{dir}", dir.display().to_string()),
            ("{server}", self.servers[0].1.to_string()),
            ("{listen}", listen.to_string()),
            ("{port}", listen.port().to_string()),
            ("{certificate}", certificate.display().to_string()),
            ("{key}", key.display().to_string()),
            ("{pem}", pem.display().to_string()),
        ]
        .into_iter()
        .fold(peer.config.to_owned(), |text, (name, value)| text.replace(name, &value));
        let file = dir.join(peer.file);
        fs::write(&file, config)?;
        let program = carrier.program(setup).ok_or_else(|| io::Error::other(format!("{carrier} has to be named")))?;
        let mut command = pinned(setup.cores.as_ref().map(|cores| &*cores.gateway), program);
        let log = dir.join(format!("{carrier}.err"));
        command.args(peer.arguments).arg(&file).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        command.env("XDG_DATA_HOME", &dir).env("XDG_CONFIG_HOME", &dir);
        let mut process = Process::start(command, program)?;
        process.is_asked = true;
        let found = (process.id(), Target { address: listen, secret: SERVER_SECRET.into(), ..target.clone() });
        let started = Instant::now();
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            if process.child.try_wait()?.is_some() || START_TIMEOUT < started.elapsed() {
                return Err(named(program, &fs::read_to_string(log).unwrap_or_default()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.peers.push(process);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_carrier_is_found_by_its_name() {
        for carrier in Carrier::ALL {
            assert_eq!(carrier.name().parse(), Ok(carrier));
        }
        assert!("apache".parse::<Carrier>().is_err());
    }

    #[test]
    fn all_that_is_to_be_put_in_is_known() {
        for peer in Carrier::ALL.into_iter().filter_map(Carrier::peer) {
            assert!(peer.config.contains("{server}"), "{}", peer.file);
            assert!(peer.config.contains("{listen}") || peer.config.contains("{port}"), "{}", peer.file);
        }
    }
}
