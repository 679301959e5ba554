//! How a simulated server is set up.

use std::net::{Ipv4Addr, SocketAddr};

use super::profile::Profile;
use crate::sign::Algorithm;

/// How a simulated server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The shared secret (`securitySalt`); empty switches the checksum check off.
    pub secret: String,
    /// `bigbluebutton.web.serverURL`: scheme and host that the server believes to be its own, and puts into redirects, the
    /// version and settings JSON and slide URLs. An administrator may have left a final slash in it.
    pub server_url: String,
    /// Which BigBlueButton this is.
    pub profile: Profile,
    /// The path of `defaultHTML5ClientUrl`, where `join` sends a browser, below `server_url`; `None` is the release's. 3.0 shipped
    /// `/html5client`, without a final slash, for many releases.
    pub client_path: Option<&'static str>,
    /// `presentationBaseURL`, the start of slide URLs; `None` is the stock value, a path on `server_url`.
    pub presentation_base_url: Option<String>,
    /// akka's `services.bbbWebAPI`, the start of the addresses of breakout rooms, up to and without `/join`; `None` is the stock
    /// value, `/bigbluebutton/api` on `server_url`.
    pub breakout_base_url: Option<String>,
    /// Whether slides ask for `sessionToken`, cookie and a token of the page, as they do from 3.0.27 on. Off by default,
    /// because the names of all that are not known, and the client page here does not send them.
    pub slides_need_session: bool,
    /// What an administrator has set in `bbb-html5.yml`, over the settings that ship, whose form it has. What is null there is not
    /// there at all.
    pub client_settings: serde_json::Value,
    /// Whether LiveKit has the addresses of `v1`: older ones have not.
    pub livekit_knows_v1: bool,
    /// Timers of BBB run this many times faster.
    pub speed: f64,
    /// How the client page finds its server: `false` as the real client does, `https` on port 443 of the page's host name;
    /// `true` with scheme and port of the page, for a demo on another port.
    pub client_uses_port: bool,
    /// `allowRevealOfBBBVersion`: whether `bbbVersion` is filled in.
    pub reveals_version: bool,
    /// `allowFetchAllRecordings`: whether `getRecordings` without any id or limit tells of all recordings.
    pub fetches_all_recordings: bool,
    /// Whether `getMeetings` writes numbers with separators, `1,440`, as a server with another locale may.
    pub groups_digits: bool,
    /// `getJoinUrlUserdataBlocklist`: the `userdata-` parameters that viewers may not put into a join URL.
    pub join_url_userdata_blocklist: Vec<String>,
    /// How many people a new meeting has at once: they count as joined and online, stay for ever and have no sockets.
    pub attendees: u32,
    /// `maxUserConcurrentAccesses`: how many users of one `userID` a meeting has; one more ejects the oldest. 0 is no limit.
    pub user_accesses_max: usize,
    /// Whether the second check of `maxParticipants` is made, when a user's GraphQL socket comes.
    pub checks_limit_on_socket: bool,
    /// Whether that second check lets in one less than the limit, as issue 19426 tells of an alpha of 3.0.
    pub socket_limit_is_one_less: bool,
    /// nginx's `client_max_body_size` for the API: the largest body of a call, in bytes.
    pub api_body_bytes_max: usize,
    /// `maxFileSizeUpload`: the largest document that is taken, in bytes.
    pub upload_bytes_max: u64,
    /// `hookChecksumAlgorithm` of the service of webhooks; its releases before 3 have SHA-1 only.
    pub hook_algorithm: Algorithm,
    /// `auth2_0` of that service: whether it sends the secret as a bearer, and no checksum.
    pub hook_bearer: bool,
    /// Headers that an administrator has nginx add to every answer (`add_header NAME VALUE always`); one name may be there
    /// several times.
    pub answer_headers: Vec<(&'static str, &'static str)>,
    /// How many received requests are kept for [`super::Sim::log`]; 0 keeps none.
    pub log_entries_max: usize,
}

impl Config {
    /// Where `join` sends a browser, below the server's URL.
    pub(crate) fn client_path(&self) -> &'static str {
        self.client_path.unwrap_or(self.profile.client_path)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret: "sim-secret".to_owned(),
            server_url: "https://bbb-01.internal.test".to_owned(),
            profile: Profile::default(),
            client_path: None,
            presentation_base_url: None,
            breakout_base_url: None,
            slides_need_session: false,
            client_settings: serde_json::Value::Null,
            livekit_knows_v1: true,
            speed: 1.0,
            client_uses_port: false,
            reveals_version: false,
            fetches_all_recordings: true,
            groups_digits: false,
            join_url_userdata_blocklist: Vec::new(),
            attendees: 0,
            user_accesses_max: 3,
            checks_limit_on_socket: true,
            socket_limit_is_one_less: false,
            api_body_bytes_max: 1 << 20,
            upload_bytes_max: 30_000_000,
            hook_algorithm: Algorithm::Sha1,
            hook_bearer: false,
            answer_headers: Vec::new(),
            // A long test run fits, and a load run cannot fill the memory.
            log_entries_max: 10_000,
        }
    }
}
