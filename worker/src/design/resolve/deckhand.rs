//! `deckhand+http(s)` and `promenade+http(s)`: a GET with a token of Keystone.

use reqwest::StatusCode;
use url::Url;

use super::address::Origin;
use super::error::Problem;
use super::http::{Answer, Pages, Version};
use super::keystone::Keystone;

/// Gets a page with a token; where the token is refused, once more with a new one.
pub(super) async fn get(
    pages: &Pages,
    keystone: Option<&Keystone>,
    url: &Url,
    known: Option<&Version>,
) -> Result<Answer, Problem> {
    let origin = Origin::of(url);
    let Some(keystone) = keystone.filter(|keystone| keystone.serves(&origin)) else {
        return Err(Problem::NoToken(origin));
    };
    // before a password is sent for a page that may not be got
    pages.clients.of(url)?;
    let client = pages.clients.listed();
    let token = keystone.token(client, None).await?;
    match pages.get(url, Some(&token), known).await {
        Err(Problem::Status(StatusCode::UNAUTHORIZED)) => {
            let token = keystone.token(client, Some(&token)).await?;
            pages.get(url, Some(&token), known).await
        }
        answer => answer,
    }
}
