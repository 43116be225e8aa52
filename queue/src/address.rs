//! What a database's URL names: one host or several, which of them may be used, and how long each may take to answer.
//! The driver knows one host; several, `target_session_attrs` and `connect_timeout` mean what they mean to libpq.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::{Url, form_urlencoded};

use crate::connect::ANSWER_TIMEOUT;
use crate::{Error, Result};

/// All of them are tried within [`ANSWER_TIMEOUT`]: with more, each would have less than a slow link takes.
const HOSTS_MAX: usize = 8;

/// What every address is; `host1:5432,host2:5432` names several hosts.
const SHAPE: &str =
    "a URL such as postgres://user:password@host:5432/database, its parts percent-encoded (the value is not shown)";

/// Addresses of what else one may have at hand.
const OTHERS: [&str; 8] = ["mysql", "mariadb", "sqlite", "mssql", "redis", "rediss", "mongodb", "amqp"];

/// What a server must be to be used: libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Whoever answers.
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is.
    Standby,
}

impl Target {
    const ALL: [Self; 5] = [Self::ReadWrite, Self::Primary, Self::Any, Self::ReadOnly, Self::Standby];

    /// Its name in the URL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            wrong(format!("one whose target_session_attrs is one of {names}, got {text:?}"))
        })
    }

    /// Whether a server in this state is meant; what it is, if not.
    pub(crate) fn check(self, in_recovery: bool, read_only: bool) -> std::result::Result<(), &'static str> {
        let fits = match self {
            Self::Any => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !in_recovery,
            Self::Standby => in_recovery,
        };
        match (in_recovery, read_only) {
            _ if fits => Ok(()),
            (true, _) => Err("a standby, in recovery"),
            (false, true) => Err("read-only"),
            (false, false) => Err("a primary that can be written"),
        }
    }
}

/// How far the way to the server is protected, by the URL; the less, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tls {
    /// It does not leave this machine.
    NotNeeded,
    /// The server proves who it is.
    Verified,
    /// Encrypted, for whoever answers.
    NotVerified,
    /// Not even encrypted, or only if the server offers it.
    NotSure,
}

/// The hosts of one database.
#[derive(Clone)]
pub(crate) struct Address {
    /// At least one.
    pub(crate) hosts: Vec<PgConnectOptions>,
    pub(crate) target: Target,
    /// How long one host may take.
    pub(crate) patience: Duration,
    /// Names of parameters that mean nothing here.
    pub(crate) ignored: Vec<String>,
}

impl Address {
    /// Reads a URL. Several hosts are there so that the one that can be written is found: without
    /// `target_session_attrs` they mean `read-write`, where libpq takes any.
    ///
    /// # Errors
    /// [`Error::Address`]; nothing of the URL is shown but what cannot be a secret.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| text.starts_with(scheme));
        let scheme = scheme.ok_or_else(|| match text.split_once("://") {
            Some((other, _)) if OTHERS.contains(&other) => {
                wrong(format!("{SHAPE}: {other}:// is another kind of database"))
            }
            _ => wrong(SHAPE),
        })?;
        let rest = &text[scheme.len()..];
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (user, named) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let given = Parameters::parse(query)?;
        let places = given.places(named)?;
        let hosts = places.iter().map(|(named, host, port)| {
            let url = Url::parse_with_params(
                &format!("{scheme}{user}{named}{path}"),
                given.others.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(*host).chain(*port),
            );
            one_host(&url.map_err(|_| wrong(SHAPE))?)
        });
        let hosts: Vec<PgConnectOptions> = hosts.collect::<Result<_>>()?;
        let share = ANSWER_TIMEOUT / u32::try_from(hosts.len()).unwrap_or(1);
        Ok(Self {
            target: given.target.unwrap_or(if hosts.len() > 1 { Target::ReadWrite } else { Target::Any }),
            patience: given.patience.map_or(share, |patience| patience.min(share)),
            ignored: given.ignored,
            hosts,
        })
    }

    /// How far the way to the server is protected; of several hosts, the one that is the least.
    pub(crate) fn tls(&self) -> Tls {
        self.hosts.iter().map(tls_of).max().unwrap_or(Tls::NotNeeded)
    }
}

/// How far the way to one host is protected.
fn tls_of(options: &PgConnectOptions) -> Tls {
    let host = options.get_host();
    let own_machine = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match options.get_ssl_mode() {
        _ if own_machine => Tls::NotNeeded,
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Tls::Verified,
        PgSslMode::Require => Tls::NotVerified,
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Tls::NotSure,
    }
}

/// The driver's options for a URL of one host.
fn one_host(url: &Url) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url.as_str()).map_err(|error| match error {
        sqlx::Error::Configuration(error) => wrong(format!("one whose parameters can be read: {error}")),
        _ => wrong(SHAPE),
    })?;
    // the driver would look the brackets of an IPv6 address up as a part of the name
    let bare = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    let options = match bare {
        Some(bare) => options.host(&bare),
        None => options,
    };
    Ok(options.disable_statement_logging())
}

/// The query of a URL, with what several hosts share taken out.
#[derive(Default)]
struct Parameters {
    hosts: Vec<String>,
    ports: Vec<String>,
    target: Option<Target>,
    patience: Option<Duration>,
    others: Vec<(String, String)>,
    /// Kept from the driver, which would log their values: a password whose parameter is misspelt.
    ignored: Vec<String>,
}

/// What the driver understands, besides those of [`Parameters`] and `options[NAME]`.
const DRIVERS: [&str; 16] = [
    "application_name",
    "dbname",
    "hostaddr",
    "options",
    "password",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// A host's part of the authority, and the parameters `host` and `port` that stand above it.
type Place<'a> = (&'a str, Option<(&'a str, &'a str)>, Option<(&'a str, &'a str)>);

impl Parameters {
    fn parse(query: &str) -> Result<Self> {
        let mut given = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let list = || value.split(',').map(str::to_owned).collect();
            match &*key {
                "host" => given.hosts = list(),
                "port" => given.ports = list(),
                "target_session_attrs" => given.target = Some(Target::parse(&value)?),
                "connect_timeout" => given.patience = seconds(&value)?,
                known if DRIVERS.contains(&known) || known.starts_with("options[") => {
                    given.others.push((key.into_owned(), value.into_owned()));
                }
                _ => given.ignored.push(key.into_owned()),
            }
        }
        Ok(given)
    }

    /// Each host on its own.
    fn places<'a>(&'a self, named: &'a str) -> Result<Vec<Place<'a>>> {
        let named: Vec<&str> = named.split(',').collect();
        let count = named.len().max(self.hosts.len());
        let is_empty = |host: &str| host.is_empty() || host.starts_with(':');
        if named.len() > 1 && !self.hosts.is_empty() {
            return Err(wrong("one that names its hosts before the path or in `host`, not in both"));
        }
        if count > HOSTS_MAX {
            return Err(wrong(format!("one of at most {HOSTS_MAX} hosts, got {count}")));
        }
        if named.len() > 1 && named.iter().any(|host| is_empty(host)) || self.hosts.iter().any(String::is_empty) {
            return Err(wrong("one in which no host is empty"));
        }
        if self.ports.len() > 1 && self.ports.len() != count {
            return Err(wrong(format!(
                "one with a single `port`, or one a host: got {} for {count}",
                self.ports.len()
            )));
        }
        // what is there once stands for all
        Ok((0..count)
            .map(|number| {
                let port = self.ports.get(number).or(self.ports.first()).filter(|port| !port.is_empty());
                (
                    named[number.min(named.len() - 1)],
                    self.hosts.get(number).map(|host| ("host", host.as_str())),
                    port.map(|port| ("port", port.as_str())),
                )
            })
            .collect())
    }
}

/// Whole seconds as libpq reads them: 0 and less mean no limit.
fn seconds(text: &str) -> Result<Option<Duration>> {
    let seconds: i32 = text
        .trim()
        .parse()
        .map_err(|_| wrong(format!("one whose connect_timeout is a whole number of seconds, got {text:?}")))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Address(what.into())
}

/// What a database's URL must be, if it is not; never a part of it that may be secret.
pub fn wrong_address(url: &str) -> Option<String> {
    match Address::parse(url) {
        Err(Error::Address(what)) => Some(what),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> String {
        let address = Address::parse(url).expect(url);
        let hosts: Vec<String> = address
            .hosts
            .iter()
            .map(|host| match host.get_socket() {
                Some(socket) => format!("{}:{}", socket.display(), host.get_port()),
                None => format!("{} {}", host.get_host(), host.get_port()),
            })
            .collect();
        format!("{} {} {:?}", hosts.join(" | "), address.target.name(), address.patience)
    }

    #[test]
    fn hosts_are_read_as_libpq_reads_them() {
        for (url, expected) in [
            ("postgres://u:p@one/db", "one 5432 any 12s"),
            ("postgres://u:p@one:1,two:2/db", "one 1 | two 2 read-write 6s"),
            ("postgresql://one,two:2,three", "one 5432 | two 2 | three 5432 read-write 4s"),
            ("postgres://one,two/db?port=7", "one 7 | two 7 read-write 6s"),
            ("postgres://one,two/db?port=7,&target_session_attrs=any", "one 7 | two 5432 any 6s"),
            ("postgres:///db?host=one,two&port=1,2", "one 1 | two 2 read-write 6s"),
            ("postgres://u@ignored:9/db?host=one%2Ctwo", "one 9 | two 9 read-write 6s"),
            ("postgres://u:a,b%40c@one,two/db?target_session_attrs=primary", "one 5432 | two 5432 primary 6s"),
            ("postgres://[::1]:1,[fe80::2]/db?connect_timeout=2", "::1 1 | fe80::2 5432 read-write 2s"),
            ("postgres://[::1]/db", "::1 5432 any 12s"),
            ("postgres://%2Frun%2Fa:1,two/db", "/run/a:1 | two 5432 read-write 6s"),
            ("postgres:///db?host=/run/a,/run/b&port=1,2", "/run/a:1 | /run/b:2 read-write 6s"),
            ("postgres://one/db?connect_timeout=60&target_session_attrs=standby", "one 5432 standby 12s"),
            ("postgres://one/db?connect_timeout=-1", "one 5432 any 12s"),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn each_host_has_the_whole_rest_of_the_url() {
        let url = "postgres://me:p%2Fw@one,two/my%20db?application_name=a%26b&sslmode=require";
        let address = Address::parse(url).expect(url);
        for host in &address.hosts {
            assert_eq!(host.get_username(), "me");
            assert_eq!(host.get_database(), Some("my db"));
            assert_eq!(host.get_application_name(), Some("a&b"));
            assert!(format!("{host:?}").contains("p/w"), "no password");
            assert!(format!("{host:?}").contains("Require"), "no TLS");
        }
    }

    #[test]
    fn a_parameter_that_means_nothing_here_is_kept_from_the_driver_and_named_without_its_value() {
        let url = "postgres://one,two/db?channel_binding=require&passwrod=hunter2&sslmode=require&options[jit]=on";
        let address = Address::parse(url).expect(url);
        assert_eq!(address.ignored, ["channel_binding", "passwrod"]);
        for host in &address.hosts {
            let debug = format!("{host:?}");
            assert!(debug.contains("Require") && debug.contains("jit=on") && !debug.contains("hunter2"), "{debug}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_it_must_be_and_without_its_secrets() {
        for (url, expected) in [
            ("host=one dbname=db password=hunter2", SHAPE),
            ("hunter2://u:hunter2@one/db", SHAPE),
            ("postgres://u:hunter2@one:hunter2/db", SHAPE),
            ("postgres://u:hunter2/x@one:1,two:2/db", SHAPE),
            ("postgres://u:hunter2@one,:2/db", "one in which no host is empty"),
            ("postgres://u:hunter2@one,two,/db", "one in which no host is empty"),
            ("postgres:///db?host=one,", "one in which no host is empty"),
            ("postgres://one,two/db?host=three", "one that names its hosts before the path or in `host`, not in both"),
            ("postgres://one,two/db?port=1,2,3", "one with a single `port`, or one a host: got 3 for 2"),
            ("postgres://a,b,c,d,e,f,g,h,i/db", "one of at most 8 hosts, got 9"),
            (
                "postgres://u:hunter2@one/db?target_session_attrs=prefer-standby",
                "one whose target_session_attrs is one of read-write, primary, any, read-only, standby, \
                 got \"prefer-standby\"",
            ),
            (
                "postgres://u:hunter2@one/db?connect_timeout=2s",
                "one whose connect_timeout is a whole number of seconds, got \"2s\"",
            ),
            ("postgres://one/db?port=x", "one whose parameters can be read: invalid digit found in string"),
            (
                "postgres://one/db?hostaddr=1.1.1.1,2.2.2.2",
                "one whose parameters can be read: invalid IP address syntax",
            ),
        ] {
            assert_eq!(wrong_address(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn a_server_is_used_if_it_is_what_was_asked_for() {
        let states = [(false, false), (false, true), (true, true)];
        let taken = |target: Target| states.map(|(recovery, read_only)| target.check(recovery, read_only).is_ok());
        assert_eq!(taken(Target::Any), [true, true, true]);
        assert_eq!(taken(Target::ReadWrite), [true, false, false]);
        assert_eq!(taken(Target::ReadOnly), [false, true, true]);
        assert_eq!(taken(Target::Primary), [true, true, false]);
        assert_eq!(taken(Target::Standby), [false, false, true]);
    }
}
