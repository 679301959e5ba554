//! What a visitor reads.

use std::{fmt, path::Path};

use anteroom_bench::sign;

use crate::{
    MEETING,
    caller::authority,
    server_of,
    stage::{Ports, RunningSim, Tenant},
};

/// Links to click, and where everything is.
pub(crate) struct Guide<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) sims: &'a [RunningSim],
    pub(crate) tenants: &'a [Tenant],
    pub(crate) dir: &'a Path,
}

impl fmt::Display for Guide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.ports.https.port();
        writeln!(f, "\nAnteroom is up: a meeting per service level, each on its tenant's own host.\n")?;
        for tenant in self.tenants {
            let server = server_of(self.sims, tenant).unwrap_or("-");
            writeln!(f, "{} ({}), on {server}", tenant.title, tenant.name)?;
            for (role, name, label) in [("MODERATOR", "Mona", "moderator"), ("VIEWER", "Vic", "viewer")] {
                let base = format!("https://{}", authority(&tenant.host, port));
                let params = [("meetingID", MEETING), ("fullName", name), ("role", role)];
                writeln!(f, "  {label:9}  {}", sign::join_url(&base, &params, &tenant.secret))?;
            }
            writeln!(f)?;
        }
        let dir = self.dir.display();
        let first = self.tenants.first().map_or("localhost", |tenant| &tenant.host);
        if let Some(detour) = &self.ports.detour {
            writeln!(f, "port    {port}, because {detour}")?;
        }
        writeln!(f, "trust   the development CA: import {dir}/dev-ca/ca.pem as an authority, or accept the warning;")?;
        writeln!(f, "        curl --cacert {dir}/dev-ca/ca.pem https://{}/bigbluebutton/api", authority(first, port))?;
        writeln!(f, "admin   http://{0}/metrics, http://{0}/health/ready", self.ports.admin)?;
        writeln!(f, "files   {dir}: change one, and it takes effect within a second; the log is {dir}/anteroom.log")?;
        writeln!(f, "stop    Ctrl-C")
    }
}
