//! Runs one simulated BigBlueButton server until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;

use anteroom_bench::sim::{Config, Profile, Sim};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A simulated BigBlueButton server
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The shared secret; empty accepts calls without a checksum
    #[arg(long, default_value = "sim-secret")]
    secret: String,
    /// The URL that the server takes for its own, without a final slash
    #[arg(long, default_value = "https://bbb-01.internal.test")]
    server_url: String,
    /// The release of BigBlueButton: 2.7, 3.0.0, 3.0.18, 3.0.39 or 4.0
    #[arg(long, default_value = Profile::default().name, value_parser = profile)]
    profile: Profile,
    /// The version call tells the release
    #[arg(long)]
    reveals_version: bool,
    /// Timers run this many times faster
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// People in each new meeting, who stay there without sockets
    #[arg(long, default_value_t = 0)]
    attendees: u32,
    /// The client page keeps scheme and port of its own address, for a demo on another port than 443
    #[arg(long)]
    client_uses_port: bool,
    /// The largest document that is taken, in bytes
    #[arg(long, default_value_t = 30_000_000)]
    upload_bytes_max: u64,
    /// How many received requests are kept in memory
    #[arg(long, default_value_t = 0)]
    log_entries_max: usize,
}

fn profile(name: &str) -> Result<Profile, String> {
    let names = Profile::ALL.map(|profile| profile.name).join(", ");
    Profile::named(name).ok_or_else(|| format!("has to be one of {names}"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bbb-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sim = Sim::start(Config {
        listen: options.listen,
        secret: options.secret,
        server_url: options.server_url.trim_end_matches('/').to_owned(),
        profile: options.profile,
        reveals_version: options.reveals_version,
        speed: options.speed,
        attendees: options.attendees,
        client_uses_port: options.client_uses_port,
        log_entries_max: options.log_entries_max,
        upload_bytes_max: options.upload_bytes_max,
        ..Config::default()
    })
    .await?;
    println!("bbb-sim listens on {}", sim.url());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    sim.stop().await;
    Ok(())
}
