//! `anteroom check` and `anteroom dev-ca`: what is done to a configuration that no gateway runs with.

use std::{path::Path, process::ExitCode};

use super::{failed, online::servers};
use crate::{
    app::{StartError, dev_ca_dir, faults_counted},
    config::{Loaded, Loader, SlugKey},
    tls::dev_ca::DevCa,
};

pub(super) fn check(config: &Path, online: bool) -> ExitCode {
    match Loader::new(config).load(&SlugKey([0; 32])) {
        Ok(Loaded { directory, warnings, settings, .. }) => {
            for warning in &warnings {
                println!("warning: {warning}");
            }
            println!(
                "{}: {} tenants, {} servers, no fault",
                config.display(),
                directory.tenants().count(),
                directory.servers().count()
            );
            if online { servers(&directory, settings.server_ca.as_deref()) } else { ExitCode::SUCCESS }
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            println!("{}: {}", config.display(), faults_counted(faults.len()));
            ExitCode::FAILURE
        }
    }
}

pub(super) fn dev_ca(config: &Path) -> ExitCode {
    let loaded = match Loader::new(config).load(&SlugKey([0; 32])) {
        Ok(loaded) => loaded,
        Err(faults) => return failed(&StartError::Config(faults).to_string()),
    };
    let made = || -> std::io::Result<usize> {
        let ca = DevCa::open(&dev_ca_dir(config))?;
        let hosts = loaded.directory.tenants().flat_map(|tenant| &tenant.hosts);
        let bare: Vec<_> = hosts.filter(|host| loaded.certs.find(host.as_str()).is_none()).collect();
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
