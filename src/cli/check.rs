//! `anteroom check` and `anteroom dev-ca`: commands on a configuration that need no running gateway.

use std::{path::Path, process::ExitCode};

use super::{failure::failed, online::servers};
use crate::{
    app::{StartError, counted, dev_ca_dir},
    config::{Loaded, Loader, Settings, SlugKey},
    domain::time::Clock,
    net::files,
    tls::dev_ca::DevCa,
};

pub(super) fn check(config: &Path, online: bool) -> ExitCode {
    match Loader::new(config, Clock::system()).load(&SlugKey([0; 32])) {
        Ok(Loaded { settings, directory, warnings, .. }) => {
            for warning in &warnings {
                println!("warning: {warning}");
            }
            tell_capacity(&settings);
            println!(
                "{}: {}, {}, no fault",
                config.display(),
                counted(directory.tenants().count(), "tenant"),
                counted(directory.servers().count(), "server")
            );
            if online { servers(&directory, settings.server_ca.as_deref()) } else { ExitCode::SUCCESS }
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            println!("{}: {}", config.display(), counted(faults.len(), "fault"));
            ExitCode::FAILURE
        }
    }
}

/// Below this number of people, the limit of file handles is probably an unchanged default.
const PEOPLE_MIN: u64 = 500;

/// Prints how many connections the file handles of this process allow. A service may have another limit than a shell.
fn tell_capacity(settings: &Settings) {
    let files = files::limit();
    let limits = settings.connections.limits(files);
    let people = u64::from(limits.max) / files::CONNECTIONS_PER_PERSON;
    println!(
        "up to {files} file handles here (ulimit -Hn; LimitNOFILE of a systemd unit): {} connections, {} of them from one address, or some {people} people in meetings",
        limits.max, limits.per_address
    );
    if let Some(wanted) = settings.connections.max.filter(|wanted| limits.max < *wanted) {
        println!("warning: connections.max: {wanted} need {} file handles", files::needed(wanted));
    } else if settings.connections.max.is_none() && people < PEOPLE_MIN {
        println!("warning: the limit of file handles is low: raise it, to 524288 say");
    }
}

pub(super) fn dev_ca(config: &Path) -> ExitCode {
    let loaded = match Loader::new(config, Clock::system()).load(&SlugKey([0; 32])) {
        Ok(loaded) => loaded,
        Err(faults) => return failed(&StartError::Config(faults).to_string()),
    };
    let made = || -> std::io::Result<usize> {
        let ca = DevCa::open(&dev_ca_dir(config))?;
        let hosts = loaded.directory.tenants().flat_map(|tenant| &tenant.hosts);
        let bare: Vec<_> = hosts.filter(|host| !loaded.certs.covers(host.as_str())).collect();
        for host in &bare {
            ca.issue(&config.join("certs"), host)?;
        }
        println!("trust {}", ca.root().display());
        Ok(bare.len())
    };
    match made() {
        Ok(n) => {
            println!("{n} certificates made");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.to_string()),
    }
}
