//! From a path to what happens with it: one pure function. The table in its test is the documentation.
//!
//! What belongs to BBB and is not named here is refused; what is not BBB's goes to the tenant's frontend.

use percent_encoding::percent_decode_str;

use super::{images, livekit, named_ids::ids_in};
use crate::{
    bbb::meeting_id::is_internal,
    domain::{branding::ASSETS, callback, session::TokenHash, webhook},
    metrics::Call,
};

/// What happens with a request, by its path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The version call, on the host itself (`slug` is `None`) or on the address of a meeting.
    Version {
        /// The server's name in the path.
        slug: Option<&'a str>,
    },
    /// An API call of an integration, by its name.
    Api(&'a str),
    /// A meeting's traffic under `/s/<slug>`.
    Meeting {
        /// The server's name in the path.
        slug: &'a str,
        /// The session that the path names, as those of LiveKit do.
        session: Option<TokenHash>,
        /// The path on the server.
        path: &'a str,
        /// What it is.
        kind: Kind,
    },
    /// The client's address without its final slash, which its relative addresses need.
    Client {
        /// The server's name in the path.
        slug: &'a str,
    },
    /// A join of a breakout room, as its server makes the address, under `/s/<slug>`.
    BreakoutJoin {
        /// The server's name in the path.
        slug: &'a str,
    },
    /// A meeting's traffic on the host's root: the server is found by session or internal meeting id.
    RootMeeting {
        /// The path on the server, which is the whole path.
        path: &'a str,
        /// What it is.
        kind: Kind,
    },
    /// A file that a page of a meeting may ask for from the root of the host, and that may be a frontend's as well: where it was
    /// asked from tells.
    OfPage {
        /// The path on the server, which is the whole path.
        path: &'a str,
    },
    /// A recording, or a part of the player of recordings.
    Recording {
        /// The path on the server, which is the whole path.
        path: &'a str,
    },
    /// A file of the tenant's branding, by its digest and name.
    Asset {
        /// Its digest.
        digest: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// Events of a server.
    Webhook {
        /// The name of the server.
        slug: &'a str,
        /// What only that server knows.
        code: &'a str,
    },
    /// A callback of a server.
    Callback {
        /// What it tells of.
        kind: &'a str,
        /// Whose it is.
        code: &'a str,
    },
    /// BBB's, and not for a browser.
    Refused,
    /// Not BBB's.
    Other,
}

/// What a path of a meeting carries, and so what has to be known before it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Files that are the same for everybody: the client, its images, its sounds.
    Static,
    /// A page or call that names its session if it has one; BBB checks its cookie.
    Session,
    /// JSON for a session that names the server and is rewritten: the client's settings.
    Settings,
    /// An upload: a body of up to [`UPLOAD_BYTES_MAX`].
    Upload,
    /// An image of chat or notes, up or down, for a session of its meeting.
    Image,
    /// A socket or page that must name its session in the query.
    Token,
    /// The GraphQL socket, which names its session in its first frame.
    GraphQl,
    /// What a plugin's data source has, for a session that must be named. At the root of the host, without a session, it is not
    /// BBB's.
    PluginData,
    /// A call of the client, which names its session in the query.
    Call(SessionCall),
}

/// A call of the client: no secret signs it, a session admits it (docs/reference/bbb-protocol.md, "Calls").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCall {
    /// `stuns`.
    Stuns,
    /// `getJoinUrl`.
    GetJoinUrl,
    /// `learningDashboard`.
    LearningDashboard,
    /// `signOut`.
    SignOut,
    /// `feedback`.
    Feedback,
    /// `enter`, of 2.7.
    Enter,
    /// `guestWait`, of 2.7.
    GuestWait,
}

impl SessionCall {
    /// Whether its answer has addresses of the server, or its id of the meeting, in it.
    pub(crate) fn names_the_server(self) -> bool {
        match self {
            Self::Stuns | Self::LearningDashboard | Self::Enter | Self::GuestWait => true,
            Self::GetJoinUrl | Self::SignOut | Self::Feedback => false,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "stuns" => Self::Stuns,
            "getJoinUrl" => Self::GetJoinUrl,
            "learningDashboard" => Self::LearningDashboard,
            "signOut" => Self::SignOut,
            "feedback" => Self::Feedback,
            "enter" => Self::Enter,
            "guestWait" => Self::GuestWait,
            _ => return None,
        })
    }
}

/// The cap of BBB's nginx for uploads (docs/reference/bbb-protocol.md, "Uploads").
pub const UPLOAD_BYTES_MAX: u64 = 1000 * 1000 * 1000;
/// The cap for all other bodies of a meeting's traffic.
pub const BODY_BYTES_MAX: u64 = 30 * 1000 * 1000;

/// Finds out what happens with a request for `path` (without its query, and with its slashes merged).
#[must_use]
pub fn route(path: &str) -> Route<'_> {
    // `OPTIONS *` and `CONNECT` have no path.
    if !path.starts_with('/') {
        return Route::Refused;
    }
    if let Some(rest) = path.strip_prefix("/s/") {
        let Some(at) = rest.find('/') else { return Route::Refused };
        let (slug, path) = rest.split_at(at);
        let (session, path) = livekit::of_session(path).map_or((None, path), |(session, path)| (Some(session), path));
        return match bbb_path(path) {
            _ if slug.is_empty() => Route::Refused,
            Some(BbbPath::Version) => Route::Version { slug: Some(slug) },
            Some(BbbPath::Client) => Route::Client { slug },
            Some(BbbPath::Meeting(kind) | BbbPath::BelowPrefix(kind)) => Route::Meeting { slug, session, path, kind },
            Some(BbbPath::Api("join")) => Route::BreakoutJoin { slug },
            Some(BbbPath::Api(_) | BbbPath::Recording | BbbPath::Refused) | None => Route::Refused,
        };
    }
    if let Some(rest) = path.strip_prefix(callback::PATH) {
        return match rest.split_once('/') {
            Some((kind, code)) => Route::Callback { kind, code },
            None => Route::Refused,
        };
    }
    if let Some(rest) = path.strip_prefix(webhook::PATH) {
        return match rest.split_once('/') {
            Some((slug, code)) => Route::Webhook { slug, code },
            None => Route::Refused,
        };
    }
    if let Some(rest) = path.strip_prefix(ASSETS) {
        return match rest.split_once('/') {
            Some((digest, name)) => Route::Asset { digest, name },
            None => Route::Refused,
        };
    }
    match bbb_path(path) {
        Some(BbbPath::Version) => Route::Version { slug: None },
        Some(BbbPath::Api(call)) => Route::Api(call),
        Some(BbbPath::Meeting(kind)) => Route::RootMeeting { path, kind },
        Some(BbbPath::Recording) => Route::Recording { path },
        Some(BbbPath::Refused) => Route::Refused,
        Some(BbbPath::BelowPrefix(_) | BbbPath::Client) | None if is_disguised(path) => Route::Refused,
        Some(BbbPath::BelowPrefix(_)) => Route::OfPage { path },
        Some(BbbPath::Client) | None => Route::Other,
    }
}

/// What a request of a kind is counted as.
pub(crate) fn call_of(kind: Kind) -> Call {
    match kind {
        Kind::GraphQl | Kind::Token => Call::Socket,
        Kind::Static | Kind::Session | Kind::Settings | Kind::Upload | Kind::Image | Kind::PluginData => Call::Meeting,
        Kind::Call(_) => Call::Session,
    }
}

enum BbbPath<'a> {
    Version,
    /// The client, without the final slash; on the root it may be anybody's.
    Client,
    Api(&'a str),
    Meeting(Kind),
    /// Of a meeting where a server is named, or the page of one has asked; on the root it may be anybody's.
    BelowPrefix(Kind),
    Recording,
    Refused,
}

/// What a path is on a BBB server, or `None` where it is none of BBB's (docs/reference/bbb-protocol.md, "Paths").
fn bbb_path(path: &str) -> Option<BbbPath<'_>> {
    use BbbPath::{Api, BelowPrefix, Client, Meeting, Recording, Refused, Version};
    let (first, rest) = match path[1..].find('/') {
        Some(at) => (&path[1..=at], &path[at.saturating_add(1)..]),
        None => (&path[1..], ""),
    };
    let found = match first {
        "bigbluebutton" => match rest {
            "" | "/" | "/api" | "/api/" => Version,
            "/rtt-check" | "/ping" => Meeting(Kind::Static),
            // A slash behind the name of a call is not part of it.
            _ => match rest.strip_prefix("/api/").map(|call| call.strip_suffix('/').unwrap_or(call)) {
                Some(call) => match SessionCall::named(call) {
                    Some(call) => Meeting(Kind::Call(call)),
                    None if !call.contains('/') || call.starts_with("hooks/") => Api(call),
                    None => Refused,
                },
                None if rest.starts_with("/presentation/") && rest.ends_with("/upload") => Meeting(Kind::Upload),
                None if rest.starts_with("/presentation/") => Meeting(Kind::Session),
                None if images::is_image(path) => Meeting(Kind::Image),
                None if rest.starts_with("/textTrack/") => Recording,
                None => Refused,
            },
        },
        "html5client" if rest.starts_with("/sockjs/") => Meeting(Kind::Session), // of 2.7
        "html5client" if !rest.is_empty() => Meeting(Kind::Static),
        "html5client" => Client,
        "graphql" if rest.is_empty() => Meeting(Kind::GraphQl),
        "api" => match rest {
            "/rest/clientSettings" | "/rest/meetingStaticData" | "/rest/clientStartupSettings" => {
                Meeting(Kind::Settings)
            }
            _ if rest.starts_with("/rest/") => Meeting(Kind::Session),
            _ if is_plugin_data(rest) => Meeting(Kind::PluginData),
            _ => return None,
        },
        "bbb-webrtc-sfu" | "ws" if rest.is_empty() => Meeting(Kind::Token),
        "pad" | "hocuspocus" if !rest.is_empty() => Meeting(Kind::Session),
        // Its client looks at the address itself, too.
        "livekit" if rest.is_empty() => BelowPrefix(Kind::Session),
        "livekit" if livekit::is_of_a_client(rest) => Meeting(Kind::Session),
        "livekit" => Refused,
        // What is neither the page nor below the id of a meeting is the same for all.
        "learning-analytics-dashboard" if is_dashboard_file(rest) => Meeting(Kind::Static),
        "learning-analytics-dashboard" if !rest.is_empty() => Meeting(Kind::Session),
        "playback" | "presentation" | "podcast" | "notes" | "recording" if !rest.is_empty() => Recording,
        // Names that a frontend may have as well.
        "slides" | "download" if rest.split('/').any(is_internal) => Recording,
        "static" | "plugins" | "images" | "client" if !rest.is_empty() => BelowPrefix(Kind::Static),
        // The client asks for the blank page from the root.
        "default.pdf" | "blank.pdf" if rest.is_empty() => BelowPrefix(Kind::Static),
        _ => return None,
    };
    // A path that can be read in two ways is read in none: Tomcat takes `;`, nginx resolves dots.
    if is_ambiguous(path) { Some(Refused) } else { Some(found) }
}

/// Whether a path below `/api` is that of a data source: `/plugin/<plugin>/<source>/`, as the plugin SDK makes it.
fn is_plugin_data(rest: &str) -> bool {
    let Some((plugin, source)) = rest.strip_prefix("/plugin/").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let source = source.strip_suffix('/').unwrap_or(source);
    !plugin.is_empty() && !source.is_empty() && !source.contains('/')
}

/// Whether a path below `/learning-analytics-dashboard` is that of a script, a style or a font of its page.
fn is_dashboard_file(rest: &str) -> bool {
    !matches!(rest, "" | "/" | "/index.html") && ids_in(rest).next().is_none()
}

/// Whether a path that is none of BBB's becomes one once it is read as nginx and Tomcat read it: decoded, slashes merged, dots
/// resolved, with parameters or without, and with backslashes that divide or do not. A frontend may pass it on to a server.
fn is_disguised(path: &str) -> bool {
    if is_plain(path) {
        return false;
    }
    // Tomcat takes parameters out before it decodes.
    let bare = path.split('/').map(without_parameters).collect::<Vec<_>>().join("/");
    let decoded = [path, &bare].map(|path| percent_decode_str(path).decode_utf8_lossy());
    let ways = [(false, false), (false, true), (true, false), (true, true)];
    decoded.iter().flat_map(|path| ways.map(|way| resolved(path, way))).any(|plain| {
        // Some are BBB's only with a slash at their end, or only without.
        let is_bbb = |path: &str| !matches!(bbb_path(path), None | Some(BbbPath::BelowPrefix(_) | BbbPath::Client));
        plain.starts_with("/s/") || is_bbb(&plain) || is_bbb(&format!("{plain}/"))
    })
}

/// A decoded path with its slashes merged and its dots resolved, and without a slash at its end.
fn resolved(path: &str, (has_parameters, backslash_divides): (bool, bool)) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(|c| c == '/' || (backslash_divides && c == '\\')) {
        match if has_parameters { without_parameters(segment) } else { segment } {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn without_parameters(segment: &str) -> &str {
    segment.split(';').next().unwrap_or("")
}

/// Whether a path has nothing that any reader takes for more than it is: most paths, in one pass.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|b| {
        let is_plain = match b {
            b'%' | b';' | b'\\' => false,
            b'/' | b'.' => before != b'/',
            _ => true,
        };
        before = b;
        is_plain
    })
}

/// Whether a path can be read in two ways: an escape that stands for a plain character, or for one that divides.
fn is_ambiguous(path: &str) -> bool {
    if is_plain(path) {
        return false;
    }
    path.contains("//")
        || path.contains([';', '\\'])
        || path.split('/').any(|segment| segment == "." || segment == "..")
        || path.split('%').skip(1).any(|rest| match rest.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => byte.is_ascii_alphanumeric() || byte.is_ascii_control() || b"-._~/\\;%?".contains(&byte),
            None => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLIDES: &str = "/slides/183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000/";
    const DASHBOARD: &str = "/learning-analytics-dashboard/183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000/t/learning_dashboard_data.json";
    const DOWNLOAD: &str = "/download/presentation/183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000/x.mp4";

    #[test]
    fn each_path_has_its_route() {
        use Kind::{Call, GraphQl, Image, PluginData, Session, Settings, Static, Token, Upload};
        use Route::{Api, Asset, BreakoutJoin, Other, Recording, Refused, RootMeeting, Version};
        let meeting = |path, kind| Route::Meeting { slug: "x1", session: None, path, kind };
        let of = |path| Route::Meeting { slug: "x1", session: Some([0; 32]), path, kind: Session };
        let root = |path, kind| RootMeeting { path, kind };
        let of_page = |path| Route::OfPage { path };
        for (path, expected) in [
            // What an integration calls.
            ("/bigbluebutton", Version { slug: None }),
            ("/bigbluebutton/", Version { slug: None }),
            ("/bigbluebutton/api", Version { slug: None }),
            ("/bigbluebutton/api/", Version { slug: None }),
            ("/bigbluebutton/api/create", Api("create")),
            ("/bigbluebutton/api/join", Api("join")),
            ("/bigbluebutton/api/hooks/list", Api("hooks/list")),
            ("/bigbluebutton/api/join/", Api("join")),
            ("/bigbluebutton/api/stuns/", root("/bigbluebutton/api/stuns/", Call(SessionCall::Stuns))),
            ("/bigbluebutton/api/create/x", Refused),
            ("/bigbluebutton/api/create%2f", Refused),
            ("/bigbluebutton/connection/checkAuthorization", Refused),
            ("/bigbluebutton/presentationUpload", Refused),
            // What the client of a meeting asks for.
            ("/s/x1/bigbluebutton/api", Version { slug: Some("x1") }),
            ("/s/x1/html5client/", meeting("/html5client/", Static)),
            ("/s/x1/html5client", Route::Client { slug: "x1" }),
            ("/html5client", Other),
            ("/s/x1/html5client/bundle.1.js", meeting("/html5client/bundle.1.js", Static)),
            ("/s/x1/graphql", meeting("/graphql", GraphQl)),
            ("/s/x1/api/rest/meetingStaticData", meeting("/api/rest/meetingStaticData", Settings)),
            ("/s/x1/api/rest/clientSettings", meeting("/api/rest/clientSettings", Settings)),
            ("/s/x1/api/rest/userMetadata", meeting("/api/rest/userMetadata", Session)),
            ("/s/x1/bbb-webrtc-sfu", meeting("/bbb-webrtc-sfu", Token)),
            ("/s/x1/ws", meeting("/ws", Token)),
            ("/s/x1/livekit", meeting("/livekit", Session)),
            ("/s/x1/livekit/", meeting("/livekit/", Session)),
            ("/s/x1/livekit/rtc", meeting("/livekit/rtc", Session)),
            ("/s/x1/livekit/rtc/v1", meeting("/livekit/rtc/v1", Session)),
            ("/s/x1/livekit/rtc/v1/validate", meeting("/livekit/rtc/v1/validate", Session)),
            ("/s/x1/livekit/settings/regions", meeting("/livekit/settings/regions", Session)),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit", of("/livekit")),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit/rtc/v1", of("/livekit/rtc/v1")),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit/agent", Refused),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit/rtc/../agent", Refused),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekits", Refused),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/ws", Refused),
            ("/s/x1/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB/livekit/rtc", Refused),
            ("/s/x1/of/AAAA/livekit/rtc", Refused),
            ("/of/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/livekit/rtc", Other),
            ("/livekit/rtc", root("/livekit/rtc", Session)),
            ("/livekit", of_page("/livekit")),
            ("/s/x1/livekit/twirp/livekit.RoomService/ListRooms", Refused),
            ("/livekit/twirp/livekit.RoomService/ListRooms", Refused),
            ("/s/x1/livekit/rtc/../twirp/x", Refused),
            ("/s/x1/livekit/agent", Refused),
            ("/s/x1/livekit/rtcx", Refused),
            ("/livekits", Other),
            ("/s/x1/pad/p/1", meeting("/pad/p/1", Session)),
            ("/s/x1/pad/socket.io/", meeting("/pad/socket.io/", Session)),
            ("/s/x1/hocuspocus/room", meeting("/hocuspocus/room", Session)),
            ("/s/x1/static/js/pad.js", meeting("/static/js/pad.js", Static)),
            ("/s/x1/plugins/quiz/manifest.json", meeting("/plugins/quiz/manifest.json", Static)),
            ("/s/x1/images/logo.svg", meeting("/images/logo.svg", Static)),
            ("/s/x1/client/x", meeting("/client/x", Static)),
            ("/s/x1/default.pdf", meeting("/default.pdf", Static)),
            ("/s/x1/blank.pdf", meeting("/blank.pdf", Static)),
            ("/s/x1/api/plugin/quiz/marks/", meeting("/api/plugin/quiz/marks/", PluginData)),
            ("/s/x1/api/plugin/quiz", Refused),
            ("/s/x1/html5client/sockjs/123/abc/websocket", meeting("/html5client/sockjs/123/abc/websocket", Session)),
            ("/s/x1/bigbluebutton/fileUpload/upload", meeting("/bigbluebutton/fileUpload/upload", Image)),
            ("/bigbluebutton/fileUpload/upload", root("/bigbluebutton/fileUpload/upload", Image)),
            ("/bigbluebutton/fileUpload/m/1.png", root("/bigbluebutton/fileUpload/m/1.png", Image)),
            ("/bigbluebutton/fileUpload/m/../1.png", Refused),
            ("/bigbluebutton/fileUpload", Refused),
            (
                "/s/x1/bigbluebutton/presentation/download/i/p",
                meeting("/bigbluebutton/presentation/download/i/p", Session),
            ),
            (
                "/s/x1/learning-analytics-dashboard/static/js/main.1a.js",
                meeting("/learning-analytics-dashboard/static/js/main.1a.js", Static),
            ),
            ("/s/x1/bigbluebutton/api/stuns", meeting("/bigbluebutton/api/stuns", Call(SessionCall::Stuns))),
            (
                "/s/x1/bigbluebutton/api/getJoinUrl",
                meeting("/bigbluebutton/api/getJoinUrl", Call(SessionCall::GetJoinUrl)),
            ),
            ("/s/x1/bigbluebutton/rtt-check", meeting("/bigbluebutton/rtt-check", Static)),
            ("/s/x1/bigbluebutton/presentation/tok/upload", meeting("/bigbluebutton/presentation/tok/upload", Upload)),
            (
                "/s/x1/bigbluebutton/presentation/i/i/p/svg/1",
                meeting("/bigbluebutton/presentation/i/i/p/svg/1", Session),
            ),
            // An API call does not go round its checks by way of the prefix.
            ("/s/x1/bigbluebutton/api/create", Refused),
            ("/s/x1/bigbluebutton/api/join", BreakoutJoin { slug: "x1" }),
            ("/s/x1/bigbluebutton/api/join/", BreakoutJoin { slug: "x1" }),
            ("/s/x1/bigbluebutton/api/Join", Refused),
            ("/s/x1/bigbluebutton/api//join", Refused),
            ("/s//bigbluebutton/api/join", Refused),
            ("/s/x1/bigbluebutton/api/getMeetings", Refused),
            ("/s/x1/", Refused),
            ("/s/x1", Refused),
            ("/s/x1/b/room", Refused),
            ("/s//html5client/", Refused),
            // What the client builds from the root.
            ("/graphql", root("/graphql", GraphQl)),
            (
                "/bigbluebutton/api/learningDashboard",
                root("/bigbluebutton/api/learningDashboard", Call(SessionCall::LearningDashboard)),
            ),
            ("/api/plugin/quiz/marks/", root("/api/plugin/quiz/marks/", PluginData)),
            ("/api/plugin/quiz/marks", root("/api/plugin/quiz/marks", PluginData)),
            ("/api/plugin/my%20quiz/marks/", root("/api/plugin/my%20quiz/marks/", PluginData)),
            ("/api/plugin/quiz/..%2frest/", Refused),
            ("/api/plugin/quiz/marks/1", Other),
            ("/api/plugin/quiz/", Other),
            ("/api/plugin//marks/", Other),
            ("/api/plugins/quiz/marks/", Other),
            ("/learning-analytics-dashboard/", root("/learning-analytics-dashboard/", Session)),
            ("/learning-analytics-dashboard/index.html", root("/learning-analytics-dashboard/index.html", Session)),
            (
                "/learning-analytics-dashboard/static/js/main.1a.js",
                root("/learning-analytics-dashboard/static/js/main.1a.js", Static),
            ),
            ("/learning-analytics-dashboard/assets/x.css", root("/learning-analytics-dashboard/assets/x.css", Static)),
            (DASHBOARD, root(DASHBOARD, Session)),
            ("/learning-analytics-dashboard", Other),
            ("/bigbluebutton/presentation/i/i/p/svg/1", root("/bigbluebutton/presentation/i/i/p/svg/1", Session)),
            // Two ways to read it.
            ("/s/x1/html5client/../bigbluebutton/api/create", Refused),
            ("/s/x1/html5client/%2e%2e/x", Refused),
            ("/s/x1/html5client/a%2Fb", Refused),
            // bbb-web decodes a whole address before it looks for its query.
            ("/s/x1/pad/p/1%3fsessionToken=x", Refused),
            ("/s/x1/pad/p/1%253FsessionToken=x", Refused),
            ("/s/x1/html5client//x", Refused),
            ("/s/x1/html5client/%2e%2e%5cx", Refused),
            ("/s/x1/html5client/..;/x", Refused),
            ("/bigbluebutton/api/create;x=1", Refused),
            ("/bigbluebutton/api/..%2fconnection", Refused),
            ("/bigbluebutton/presentation/%00", Refused),
            ("/bigbluebutton/presentation/%37abc/x/svg/1", Refused),
            ("/s/x1/api/rest/client%53ettings", Refused),
            ("/s/x1/html5client/%zz", Refused),
            ("/s/x1/html5client/a%2", Refused),
            ("/s/x1/html5client/a%20%C3%BC", meeting("/html5client/a%20%C3%BC", Static)),
            ("//bigbluebutton/api/create", Refused),
            ("/%62igbluebutton/api/create", Refused),
            ("/b/..;/bigbluebutton/api/create", Refused),
            ("/b/%2e%2e/bigbluebutton/api/create", Refused),
            ("/.\\bigbluebutton/api", Refused),
            ("/html5client%2f", Refused),
            ("/pad/x/..", Refused),
            ("/.//playback//", Refused),
            ("/graphql;%5c", Refused),
            // nginx does not take a backslash for a slash.
            ("/b\\c/../graphql", Refused),
            ("/b%5cc/%2e%2e/bigbluebutton/api/create", Refused),
            ("/b/room%20one", Other),
            // Recordings: on the root only.
            ("/playback/presentation/2.3/x", Recording { path: "/playback/presentation/2.3/x" }),
            ("/presentation/x/metadata.xml", Recording { path: "/presentation/x/metadata.xml" }),
            ("/bigbluebutton/textTrack/t/x/1", Recording { path: "/bigbluebutton/textTrack/t/x/1" }),
            ("/playback/../bigbluebutton/api/create", Refused),
            ("/s/x1/playback/presentation/2.3/x", Refused),
            ("/notes", Other),
            ("/podcast/x/audio.ogg", Recording { path: "/podcast/x/audio.ogg" }),
            ("/recording/screenshare/x/", Recording { path: "/recording/screenshare/x/" }),
            (SLIDES, Recording { path: SLIDES }),
            (DOWNLOAD, Recording { path: DOWNLOAD }),
            // A tenant's own files.
            ("/.anteroom/0a/logo.svg", Asset { digest: "0a", name: "logo.svg" }),
            ("/.anteroom/logo.svg", Refused),
            ("/.anteroom/callback/ended/0a", Route::Callback { kind: "ended", code: "0a" }),
            ("/.anteroom/callback/ended", Refused),
            ("/.anteroom/hooks/s1/0a", Route::Webhook { slug: "s1", code: "0a" }),
            ("/.anteroom/hooks/s1", Refused),
            // No path at all.
            ("", Refused),
            ("*", Refused),
            // Not BBB's.
            ("/", Other),
            ("/b/room", Other),
            ("/bigbluebuttons", Other),
            ("/api/v1/rooms", Other),
            ("/wsx", Other),
            ("/signin/../x", Other),
            ("/static/app.css", of_page("/static/app.css")),
            ("/b/../static/app.css", Other),
            ("/images/logo.svg", of_page("/images/logo.svg")),
            ("/plugins/quiz/quiz.js", of_page("/plugins/quiz/quiz.js")),
            ("/default.pdf", of_page("/default.pdf")),
            ("/blank.pdf", of_page("/blank.pdf")),
            ("/blank.pdf/x", Other),
            ("/slides/mine", Other),
            ("/download/app", Other),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
