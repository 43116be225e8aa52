//! `longshore health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longshore_worker::config::Config;
use reqwest::Url;

use super::block_on;
use super::exit::{BadInput, Exit};
use super::say::{note, print};
use super::values::duration;

/// An answer of a worker has a line for each check.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Asks a running worker whether it is ready, and prints its answer: for a container's HEALTHCHECK.
///
/// Exits 0 when it is, 4 when it is not or does not answer, 2 wrong usage, 64 wrong configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore health
  longshore health --live --timeout 2s
  longshore health --url http://127.0.0.1:9464")]
pub(crate) struct Health {
    /// Where it listens; else http.listen of the configuration
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with = "config")]
    url: Option<Url>,
    /// Whether it lives (/livez), not whether it is ready (/readyz)
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Health {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut url = match self.url {
            Some(url) => url,
            None => of_address(Config::load(self.config.as_deref())?.http.listen)?,
        };
        url.set_path(if self.live { "/livez" } else { "/readyz" });
        let exit = match block_on(asked(url.clone(), self.timeout)) {
            Ok((true, body)) => {
                print(&body)?;
                Exit::Done
            }
            Ok((false, body)) => {
                print(&body)?;
                Exit::Unhealthy
            }
            Err(error) => {
                note!("{url}: {}", super::told(&error));
                Exit::Unhealthy
            }
        };
        Ok(exit.into())
    }
}

/// Whether the answer is a good one, and what it says.
async fn asked(url: Url, timeout: Duration) -> anyhow::Result<(bool, String)> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // an error says that somebody else was faster, which will do as well
        rustls::crypto::ring::default_provider().install_default().ok();
    }
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let mut answer = client.timeout(timeout).build()?.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_MAX_BYTES {
            body.truncate(BODY_MAX_BYTES);
            break;
        }
    }
    Ok((answer.status().is_success(), String::from_utf8_lossy(&body).into_owned()))
}

/// Where a worker that listens there is reached from its own machine.
fn of_address(listen: SocketAddr) -> anyhow::Result<Url> {
    if listen.port() == 0 {
        return Err(BadInput("http.listen lets the system choose the port: say --url".to_owned()).into());
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(Url::parse(&format!("http://{}", SocketAddr::new(ip, listen.port())))?)
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: write one like http://127.0.0.1:9464"))?;
    if ["http", "https"].contains(&url.scheme()) && url.has_host() {
        Ok(url)
    } else {
        Err("must begin with http:// or https://, like http://127.0.0.1:9464".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_all_addresses_is_asked_on_loopback() {
        let told = |listen: &str| of_address(listen.parse().expect("an address")).map(|url| url.to_string()).ok();
        assert_eq!(told("0.0.0.0:9464").as_deref(), Some("http://127.0.0.1:9464/"));
        assert_eq!(told("[::]:9464").as_deref(), Some("http://[::1]:9464/"));
        assert_eq!(told("10.0.0.7:80").as_deref(), Some("http://10.0.0.7/"));
        assert_eq!(told("127.0.0.1:0"), None);
    }
}
